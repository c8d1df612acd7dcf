"""The files of deploy/: valid, of one kind with the service's metrics, and of a service without PyTorch."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fake_service import fake_app, write_fake_model
from translate.serving.metrics import Metrics

REPOSITORY = Path(__file__).parent.parent
DEPLOY = REPOSITORY / "deploy"
_METRIC = re.compile(r"(?<!/)\btranslate_[a-z_]+")  # not of addresses
_WITHOUT = ("torch", "datasets", "transformers", "tensorboard", "matplotlib", "safetensors", "pyarrow")


def metric_names() -> set[str]:
    return {sample.name for family in Metrics().registry.collect() for sample in family.samples} | {
        f"{family.name}{suffix}"
        for family in Metrics().registry.collect()
        for suffix in ({"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""]))
    }


@pytest.mark.parametrize("file", ["alerts.yaml", "dashboard.json", "kubernetes.yaml"])
def test_alerts_and_charts_use_metrics_that_exist(file):
    used = set(_METRIC.findall((DEPLOY / file).read_text()))
    assert used
    assert used <= metric_names()


def test_alert_rules_have_what_prometheus_needs():
    (group,) = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]:
        assert rule.keys() >= {"alert", "expr", "labels", "annotations"}
        assert rule["expr"].count("(") == rule["expr"].count(")")


def test_every_chart_of_the_dashboard_has_a_query():
    panels = json.loads((DEPLOY / "dashboard.json").read_text())["panels"]
    assert len({panel["title"] for panel in panels}) == len(panels)
    assert all(target["expr"] for panel in panels for target in panel["targets"])


def test_manifests_are_valid_for_kubernetes():
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
    kinds = {document["kind"] for document in documents}
    assert {"Deployment", "Service", "Ingress", "HorizontalPodAutoscaler"} <= kinds
    assert {"PodDisruptionBudget", "NetworkPolicy"} <= kinds
    for document in documents:
        validate.validate(document, "1.31", strict=True)


def test_the_ingress_has_the_addresses_of_the_service_and_no_metrics(tmp_path):
    documents = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    (rule,) = next(each for each in documents if each["kind"] == "Ingress")["spec"]["rules"]
    exact, prefixes = (
        {each["path"] for each in rule["http"]["paths"] if each["pathType"] == kind} for kind in ("Exact", "Prefix")
    )
    routes = {"/", "/page/page.js", "/metrics", *fake_app(write_fake_model(tmp_path)).openapi()["paths"]}
    reached = {path for path in routes if path in exact or f"/{path.split('/')[1]}" in prefixes}
    assert routes - reached == {"/metrics", "/ready"}


def test_the_manifest_hardens_its_container():
    documents = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    pod = next(each for each in documents if each["kind"] == "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_container_file_copies_files_that_exist_and_is_not_root():
    text = (DEPLOY / "Containerfile").read_text()
    copied = [word for line in re.findall("^COPY ((?!--).*) ", text, re.MULTILINE) for word in line.split()]
    assert copied
    assert all((REPOSITORY / path).exists() for path in copied)
    assert {"pyproject.toml", "setup.py", "translate", "configs"} <= set(copied)  # without one, there is no wheel
    sent = (REPOSITORY / ".dockerignore").read_text().split()
    assert [path for path in copied if f"!{path.split('/')[0]}" not in sent] == []
    assert "USER 10001" in text


def test_the_service_with_ctranslate2_imports_only_what_its_image_has():
    """Both of its processes, and the monitor, with the packages that the image lacks made unimportable."""
    code = f"""
import sys
for name in {_WITHOUT!r}:
    sys.modules[name] = None
import translate.serve, translate.serving.app, translate.serving.worker, translate.exporting.ctranslate2_engine
import translate.monitor
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
    listed = (DEPLOY / "requirements.txt").read_text().splitlines()
    constraints = (REPOSITORY / "constraints.txt").read_text().lower().replace("_", "-").splitlines()
    assert {name for name in listed if not name.startswith("#")} <= {line.partition("==")[0] for line in constraints}
