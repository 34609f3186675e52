"""deploy/kubernetes: values for Dagster's chart against the launcher's own schema, the job that a date becomes, manifests.

Not shown here: the chart itself, rendered, and a cluster.
"""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster_k8s.job import DagsterK8sJobConfig, UserDefinedDagsterK8sConfig, construct_dagster_k8s_job
from dagster_k8s.launcher import K8sRunLauncher

from spymaster_live.access import MAY
from spymaster_live.keys import make
from tests.composed import composed

ROOT = Path(__file__).parents[1] / "deploy" / "kubernetes"
VERSION = "1.35"
VALUES: dict[str, Any] = yaml.safe_load((ROOT / "dagster-values.yaml").read_text())
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((ROOT / "live.yaml").read_text()))


def snake(name: str) -> str:
    """As the chart spells a value in dagster.yaml."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def launcher() -> dict[str, Any]:
    """The launcher's part of dagster.yaml, as the chart renders it: names of its own in snake case, Kubernetes' as they are."""
    told = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    names = {snake(name): value for name, value in told.items()}
    names["run_k8s_config"] = {snake(name): value for name, value in told["runK8sConfig"].items()}
    return {
        **names, "dagster_home": VALUES["global"]["dagsterHome"], "instance_config_map": "dagster-instance",
        "postgres_password_secret": VALUES["global"]["postgresqlSecretName"], "service_account_name": "dagster",
    }  # fmt: skip


def test_the_launcher_takes_its_values() -> None:
    kind = resolve_to_config_type(K8sRunLauncher.config_type())
    done = process_config(kind, launcher())
    assert done.success, done.errors
    wrong = process_config(kind, {**launcher(), "resource": {}})
    assert not wrong.success  # the schema knows every name


def test_a_date_becomes_a_job_that_kubernetes_takes() -> None:
    from kubernetes.client import ApiClient

    told, code = launcher(), VALUES["dagster-user-deployments"]["deployments"][0]["image"]
    config = DagsterK8sJobConfig(
        job_image=f"{code['repository']}:{code['tag']}", image_pull_policy=told["image_pull_policy"],
        dagster_home=told["dagster_home"],
        postgres_password_secret=told["postgres_password_secret"], instance_config_map=told["instance_config_map"],
        service_account_name=told["service_account_name"], env_vars=told["env_vars"], volumes=told["volumes"],
        volume_mounts=told["volume_mounts"], resources=told["resources"], env_secrets=told["env_secrets"],
    )  # fmt: skip
    user = UserDefinedDagsterK8sConfig.from_dict(told["run_k8s_config"])
    made = ApiClient().sanitize_for_serialization(
        construct_dagster_k8s_job(config, ["dagster", "api", "execute_run"], "date-2025-06-03", user)
    )
    kubernetes_validate.validate(made, VERSION, strict=True)
    pod = made["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["image"] == "registry.example.net/spymaster:1.0.0"
    assert container["resources"] == {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "8Gi"}}
    assert {"name": "SPYMASTER_DATA", "value": "/data"} in container["env"] and pod["securityContext"]["runAsUser"] == 10001
    assert made["spec"]["backoffLimit"] == 0 and pod["restartPolicy"] == "Never"
    assert {"secretRef": {"name": "spymaster-store"}} in container["envFrom"]
    assert "/etc/spymaster" in {one["mountPath"] for one in container["volumeMounts"]}
    claims = {one["name"]: one["persistentVolumeClaim"]["claimName"] for one in pod["volumes"] if "persistentVolumeClaim" in one}
    assert claims == {"lake": "spymaster-lake", "kernels": "spymaster-kernels"}


def test_the_chart_says_of_the_instance_what_dagster_yaml_says() -> None:
    """Monitoring, retries, retention, and one date at a time."""
    there = yaml.safe_load((ROOT.parents[1] / "spymaster_assets" / "settings" / "dagster.yaml").read_text())
    daemon = VALUES["dagsterDaemon"]
    for name in ("run_monitoring", "run_retries"):
        said = {
            snake(key): value
            for key, value in daemon["".join(w.title() if i else w for i, w in enumerate(name.split("_")))].items()
        }
        assert said == there[name]
    queued = daemon["runCoordinator"]["config"]["queuedRunCoordinator"]
    assert queued["maxConcurrentRuns"] == there["concurrency"]["runs"]["max_concurrent_runs"]
    kept = VALUES["retention"]
    assert kept["schedule"]["purgeAfterDays"] == there["retention"]["schedule"]["purge_after_days"]
    assert {k: v for k, v in kept["sensor"]["purgeAfterDays"].items() if v > 0} == there["retention"]["sensor"]["purge_after_days"]


@pytest.mark.parametrize("number", range(len(MANIFESTS)), ids=lambda number: "{kind} {metadata[name]}".format(**MANIFESTS[number]))
def test_a_manifest_is_one_that_kubernetes_takes(number: int) -> None:
    kubernetes_validate.validate(MANIFESTS[number], VERSION, strict=True)
    assert MANIFESTS[number]["metadata"]["namespace"] == "spymaster"


def test_the_schema_refuses_what_is_no_manifest() -> None:
    wrong = {**MANIFESTS[-1], "spec": {**MANIFESTS[-1]["spec"], "port": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


PODS = {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in MANIFESTS if "template" in one.get("spec", {})}


def test_parts_are_those_of_the_compose_file_and_are_held_as_tight() -> None:
    assert set(PODS) == {"nats", "provision", "feed", "engine", "writer", "gateway"}
    for name, pod in PODS.items():
        [container] = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert "memory" in container["resources"]["limits"] and ("livenessProbe" in container) != (name == "provision")
        if name != "nats":
            service = "feed-live" if name == "feed" else name
            wanted = [str(word) for word in composed()["services"][service]["command"]]
            said = [*container["command"], *container.get("args", ())]
            assert sorted(said) == sorted(word.replace("/run/secrets/", "/run/secrets/spymaster/") for word in wanted)


def test_a_part_has_its_own_secrets_alone_and_the_keys_command_makes_them(tmp_path: Path) -> None:
    make(tmp_path)
    made = {path.name for path in tmp_path.iterdir()} | {"vendor.key"}  # the vendor's own
    for name, pod in PODS.items():
        [keys] = [one["secret"] for one in pod["volumes"] if "secret" in one]
        files = {one["key"] for one in keys["items"]}
        assert files <= made and {one for one in files if one.endswith(".nk")} == ({f"{name}.nk"} if name in MAY else set())
        said = str(pod["containers"][0])
        assert all(one in files for one in re.findall(r"/run/secrets/spymaster/([\w.]+)", said))


def test_dagster_and_live_go_by_the_same_settings_and_find_the_same_lake() -> None:
    """SPYMASTER_CONFIG is a file of the config map that both mount; what lets into a store comes to whoever reads the lake."""
    [settings] = [one for one in MANIFESTS if one["kind"] == "ConfigMap"]
    code = VALUES["dagster-user-deployments"]["deployments"][0]
    runs = dict(line.split("=", 1) for line in VALUES["runLauncher"]["config"]["k8sRunLauncher"]["envVars"])
    named = {"code": {one["name"]: one["value"] for one in code["env"]}, "runs": runs}
    named |= {
        name: {one["name"]: one.get("value") for one in pod["containers"][0].get("env", ())}
        for name, pod in PODS.items()
        if name != "nats"
    }
    for name, environment in named.items():
        assert environment["SPYMASTER_CONFIG"] == "/etc/spymaster/" + next(iter(settings["data"])), name
        assert environment["SPYMASTER_DATA"] == environment["SPYMASTER_LOCAL"] == "/data", name
    assert [one["configMap"]["name"] for one in code["volumes"] if "configMap" in one] == [settings["metadata"]["name"]]
    readers = {name for name, pod in PODS.items() if "lake" in {one["name"] for one in pod["volumes"]}}
    assert (
        readers
        == {name for name, pod in PODS.items() if "envFrom" in pod["containers"][0]}
        == {"feed", "engine", "writer", "gateway"}
    )
    [store] = code["envSecrets"]
    for name in readers:
        assert PODS[name]["containers"][0]["envFrom"] == [{"secretRef": {**store, "optional": True}}]
