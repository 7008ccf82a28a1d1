"""Dashboard and alerts ask for what a system really tells. `make dashboards` runs this."""

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from eventually import eventually
from running_stack import RunningStack, running_stack

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "celeriac.json"
WITHIN_S = 120
SHAPE = re.compile(r"celeriac_\w+")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        running.wait_for(running.submit("text.reverse", {"text": "hello"}))
        yield running


def _told(stack: RunningStack) -> dict[str, list[dict[str, str]]]:
    """Give the labels of each metric."""
    with urllib.request.urlopen(f"{stack.url}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(dict(sample.labels))
    return found


def _alerts() -> dict[str, str]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def _queries() -> dict[str, str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in panels
        for target in panel["targets"]
    }


@pytest.mark.parametrize("name", [*_alerts(), *_queries()])
def test_metrics_of_query_exist(stack: RunningStack, name: str) -> None:
    query = (_alerts() | _queries())[name]
    asked = set(SHAPE.findall(query))

    eventually(lambda: asked <= _told(stack).keys(), deadline_s=WITHIN_S)
    assert asked or query.startswith("up{")
    told = _told(stack)
    for metric, matchers in re.findall(r"(celeriac_\w+)\{([^}]*)\}", query):
        for label, values in re.findall(r'(\w+)=~?"([^"]*)"', matchers):
            known = {labels.get(label) for labels in told[metric]}
            assert set(values.split("|")) <= known, (metric, label, known)


def test_run_is_counted(stack: RunningStack) -> None:
    def succeeded() -> bool:
        with urllib.request.urlopen(f"{stack.url}/metrics", timeout=30) as answer:
            return b'celeriac_runs_recent{outcome="succeeded"} 1.0' in answer.read()

    eventually(succeeded, deadline_s=WITHIN_S)
