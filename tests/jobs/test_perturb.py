"""The job perturb, from a folder of audio to a manifest that predict and evaluate take."""

import pandas as pd


def test_a_folder_becomes_a_test_set(job, clip_paths, tmp_path):
    argv = ["--input", clip_paths[0].rpartition("/")[0], "--level", "weak", "--level", "strong"]
    code, out, err = job("perturb", *argv, "--kind", "codec", "--output", str(tmp_path / "out"))
    assert code == 0, err
    assert out.splitlines()[-1] == str(tmp_path / "out" / "manifest.parquet")
    table = pd.read_parquet(tmp_path / "out" / "manifest.parquet")
    assert len(table) == 2 * len(clip_paths) and set(table.kind) == {"codec"}


def test_a_place_without_noise_is_one_line(job, clip_paths, tmp_path):
    argv = ["--input", clip_paths[0], "--noise", str(tmp_path / "none"), "--output", str(tmp_path / "out")]
    code, out, err = job("perturb", *argv)
    assert code == 2 and out == "" and "no audio file at" in err and "Traceback" not in err
