"""The only part of Synatt that imports Ray. `session` starts or joins it; `streams` is Ray Data, `training` Ray Train,
`tuning` Ray Tune. All the arithmetic lives outside, in plain functions."""
