"""The cluster launcher's files go the way that `ray up` takes them, up to the machines that it would start."""

import copy
import json
import shlex
from collections.abc import Callable, Iterator
from functools import cache
from importlib import resources
from typing import Any
from unittest.mock import MagicMock

import botocore.exceptions
import jsonschema
import pytest
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.commands import _bootstrap_config
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.cluster.definitions import LAUNCHER, POOLS, launcher_file

Config = dict[str, Any]
CLOUDS = ("aws", "gcp")
TAGS = {"ray-node-type": "worker", "ray-launch-config": "0", "ray-user-node-type": "x", "ray-node-name": "synatt"}


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where Ray writes the SSH keys that it makes, and no credentials of a real account."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "none")
        patch.delenv("AWS_PROFILE", raising=False)
        yield


@pytest.fixture(scope="module")
def aws(home: None) -> Iterator[Config]:
    """An AWS in memory with the roles that aws.yaml names, and the file as `ray up` has completed it there."""
    import boto3
    from moto import mock_aws
    from ray.autoscaler._private.aws import utils

    # Ray keeps its clients, which would go on to those of another AWS.
    caches = (utils.resource_cache, utils.client_cache)
    with mock_aws():
        for cache_of in caches:
            cache_of.cache_clear()
        for name in ("synatt-head", "synatt-worker"):
            boto3.client("iam", region_name="us-west-2").create_instance_profile(InstanceProfileName=name)
        yield _bootstrap_config(launcher_file("aws"), no_config_cache=True)
    for cache_of in caches:
        cache_of.cache_clear()


@pytest.fixture
def compute(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """Google's client libraries, answering as an empty project would."""
    from ray.autoscaler._private.gcp import config, node_provider

    crm, iam, compute = MagicMock(), MagicMock(), MagicMock()
    crm.projects().get().execute.return_value = {"projectId": "your-project", "lifecycleState": "ACTIVE"}
    crm.projects().getIamPolicy().execute.return_value = {"bindings": []}
    account = {"email": "ray-autoscaler-sa-v1@your-project.iam.gserviceaccount.com", "projectId": "your-project"}
    iam.projects().serviceAccounts().get().execute.return_value = account
    compute.projects().get().execute.return_value = {"name": "your-project", "commonInstanceMetadata": {"items": []}}
    compute.globalOperations().get().execute.return_value = {"status": "DONE"}
    compute.zoneOperations().get().execute.return_value = {"status": "DONE"}
    compute.subnetworks().list().execute.return_value = {"items": [{"selfLink": "regions/us-central1/subnetworks/x"}]}
    for module in (config, node_provider):
        monkeypatch.setattr(module, "construct_clients_from_provider_config", lambda _: (crm, iam, compute, None))
    return compute


def checked(config: Config) -> Config:
    """A file as `ray up` reads it: Ray's defaults filled in, then its schema."""
    ready = prepare_config(copy.deepcopy(config))
    validate_config(ready)
    return ready


@pytest.mark.parametrize("name", LAUNCHER)
def test_ray_accepts_the_file(name: str) -> None:
    checked(launcher_file(name))


def _misspell(config: Config) -> None:
    config["idle_timeout_minute"] = config.pop("idle_timeout_minutes")


def _misspell_docker(config: Config) -> None:
    config["docker"]["run_option"] = config["docker"].pop("run_options")


@pytest.mark.parametrize("damage", [_misspell, _misspell_docker])
@pytest.mark.parametrize("name", LAUNCHER)
def test_ray_refuses_a_misspelt_key(name: str, damage: Callable[[Config], None]) -> None:
    config = launcher_file(name)
    damage(config)
    with pytest.raises(jsonschema.ValidationError):
        checked(config)


@pytest.mark.parametrize("name", CLOUDS)
def test_ray_refuses_a_misspelt_key_of_a_node_type(name: str) -> None:
    config = launcher_file(name)
    config["available_node_types"]["decode"]["max_worker"] = 3
    with pytest.raises(jsonschema.ValidationError):
        checked(config)


def test_ray_up_would_start_each_kind_of_machine_on_aws(aws: Config) -> None:
    provider = AWSNodeProvider(aws["provider"], aws["cluster_name"])
    for name, kind in aws["available_node_types"].items():
        (machine,) = provider.create_node(kind["node_config"], TAGS, 1).values()
        assert machine.instance_type == kind["node_config"]["InstanceType"]
        assert machine.instance_lifecycle == ("spot" if name == "predict" else None)
        assert machine.metadata_options["HttpTokens"] == "required"
        assert machine.iam_instance_profile


def test_aws_refuses_a_misspelt_setting_of_a_machine(aws: Config) -> None:
    provider = AWSNodeProvider(aws["provider"], aws["cluster_name"])
    machine = dict(aws["available_node_types"]["predict"]["node_config"])
    machine["InstanceMarketOption"] = machine.pop("InstanceMarketOptions")
    with pytest.raises(botocore.exceptions.ParamValidationError, match="InstanceMarketOption"):
        provider.create_node(machine, TAGS, 1)


def test_the_pools_have_what_their_aws_machines_have(aws: Config) -> None:
    import boto3

    for name, kind in launcher_file("aws")["available_node_types"].items():
        asked = [kind["node_config"]["InstanceType"]]
        (real,) = boto3.client("ec2", "us-west-2").describe_instance_types(InstanceTypes=asked)["InstanceTypes"]
        gpus = sum(gpu["Count"] for gpu in real.get("GpuInfo", {}).get("Gpus", []))
        has = kind["resources"]
        assert has.get("GPU", 0) == gpus
        if name != "head":
            assert has["CPU"] == real["VCpuInfo"]["DefaultVCpus"]
            assert 0.5 < has["memory"] / (real["MemoryInfo"]["SizeInMiB"] << 20) < 0.95


def gcp_bodies(config: Config, compute: MagicMock) -> dict[str, Config]:
    """What would be sent to Compute Engine to start each kind of machine."""
    from ray.autoscaler._private.gcp.node_provider import GCPNodeProvider

    config = _bootstrap_config(config, no_config_cache=True)
    provider = GCPNodeProvider(config["provider"], config["cluster_name"])
    bodies = {}
    for name, kind in config["available_node_types"].items():
        provider.create_node(kind["node_config"], TAGS, 1)
        bodies[name] = compute.instances().insert.call_args.kwargs["body"]
    return bodies


@cache
def instance_schema() -> Config:
    """Compute Engine's own description of an instance, as a JSON Schema in which unknown keys are errors."""
    folder = resources.files("googleapiclient.discovery_cache") / "documents"
    described = json.loads((folder / "compute.v1.json").read_text())["schemas"]

    def strict(node: Any) -> Any:
        if isinstance(node, list):
            return [strict(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return {"$ref": f"#/definitions/{node['$ref']}"}
        kept = {key: strict(node[key]) for key in ("type", "items", "enum", "additionalProperties") if key in node}
        if node.get("format") in ("int64", "uint64"):
            # As strings, in JSON; the API takes numbers too.
            kept["type"] = ["string", "integer"]
        if "properties" in node:
            # Names of settings, not keywords of the schema.
            kept["properties"] = {name: strict(value) for name, value in node["properties"].items()}
            kept.setdefault("additionalProperties", False)
        return kept

    return {"$ref": "#/definitions/Instance", "definitions": {name: strict(value) for name, value in described.items()}}


def test_ray_up_would_start_each_kind_of_machine_on_gcp(compute: MagicMock) -> None:
    config = launcher_file("gcp")
    bodies = gcp_bodies(config, compute)
    schema = jsonschema.Draft7Validator(instance_schema())
    for name, body in bodies.items():
        assert not [error.message for error in schema.iter_errors(body)]
        asked = config["available_node_types"][name]["node_config"]
        assert body["machineType"].endswith(f"/{asked['machineType']}")
    assert bodies["predict"]["scheduling"]["provisioningModel"] == "SPOT"


@pytest.mark.parametrize("key", ["sheduling", "labelz"])
def test_gcp_knows_no_misspelt_setting_of_a_machine(key: str, compute: MagicMock) -> None:
    config = launcher_file("gcp")
    config["available_node_types"]["predict"]["node_config"][key] = {}
    body = gcp_bodies(config, compute)["predict"]
    assert [e for e in jsonschema.Draft7Validator(instance_schema()).iter_errors(body) if key in e.message]


def test_gcp_knows_no_misspelt_setting_inside_another(compute: MagicMock) -> None:
    config = launcher_file("gcp")
    config["available_node_types"]["predict"]["node_config"]["scheduling"]["provisioningModell"] = "SPOT"
    body = gcp_bodies(config, compute)["predict"]
    assert [e for e in jsonschema.Draft7Validator(instance_schema()).iter_errors(body) if "Modell" in e.message]


@pytest.mark.parametrize("name", CLOUDS)
def test_a_cluster_without_work_is_its_head_alone(name: str) -> None:
    config = checked(launcher_file(name))
    kinds = config["available_node_types"]
    assert set(kinds) == {"head", *POOLS}
    assert not any(kind["min_workers"] for kind in kinds.values())
    assert config["idle_timeout_minutes"] <= 15
    assert kinds["head"]["resources"] == {"CPU": 0}


@pytest.mark.parametrize("name", CLOUDS)
def test_each_pool_offers_one_of_its_own_resource_and_memory(name: str) -> None:
    kinds = launcher_file(name)["available_node_types"]
    for pool in POOLS:
        assert kinds[pool]["resources"][pool] == 1
        assert kinds[pool]["labels"]["pool"] == pool
        # Scoring actors ask for memory: Ray's autoscaler never starts a type for them that does not say it has any.
        assert kinds[pool]["resources"]["memory"] > 8 << 30
    assert kinds["train"]["resources"]["GPU"] == 8
    assert kinds["predict"]["resources"]["GPU"] == 1
    assert "GPU" not in kinds["decode"]["resources"]


def start_line(commands: list[str]) -> dict[str, str]:
    """The options of `ray start`, which Ray itself has to know."""
    from ray.scripts.scripts import start

    (line,) = (command for command in commands if "ray start" in command)
    words = shlex.split(line.partition("ray start ")[2])
    known = {name for parameter in start.params for name in parameter.opts}
    options = dict(word.partition("=")[::2] for word in words)
    assert options.keys() <= known
    return options


def test_an_option_that_ray_start_does_not_know_is_refused() -> None:
    with pytest.raises(AssertionError):
        start_line(["ray start --head --object-store-mem=5"])


@pytest.mark.parametrize("name", LAUNCHER)
def test_nodes_listen_inside_the_cluster_and_spill_to_their_disk(name: str) -> None:
    config = launcher_file(name)
    head, worker = (start_line(config[f"{kind}_start_ray_commands"]) for kind in ("head", "worker"))
    assert head["--dashboard-host"] == "127.0.0.1"
    volumes = [o.split("=")[1].split(":")[1] for o in config["docker"]["run_options"] if o.startswith("--volume")]
    for options in (head, worker):
        assert any(options["--object-spilling-directory"].startswith(f"{volume}/") for volume in volumes)
        assert int(options["--object-store-memory"]) >= 1 << 30


@pytest.mark.parametrize("name", LAUNCHER)
def test_containers_are_not_given_the_powers_of_root(name: str) -> None:
    options = launcher_file(name)["docker"]["run_options"]
    assert "--cap-drop=ALL" in options and "--security-opt=no-new-privileges" in options
    assert not any("privileged" in option.replace("no-new-privileges", "") or "--user" in option for option in options)


@pytest.mark.parametrize("name", LAUNCHER)
def test_nothing_is_installed_on_nodes_besides_the_image(name: str) -> None:
    config = checked(launcher_file(name))
    for commands in ("setup_commands", "head_setup_commands", "worker_setup_commands"):
        assert config[commands] == []
