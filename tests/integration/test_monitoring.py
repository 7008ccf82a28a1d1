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


def _told_after_a_run(stack: RunningStack, asked: set[str]) -> dict[str, list[dict[str, str]]]:
    """Give the labels of each metric once all of these are told, as some are after a recent run."""

    def told() -> dict[str, list[dict[str, str]]]:
        found = _told(stack)
        if asked <= found.keys():
            return found
        stack.wait_for(stack.submit("text.reverse", {"text": "hello"}))
        return {}

    return eventually(told, deadline_s=WITHIN_S)


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

    told = _told_after_a_run(stack, asked)
    assert asked or query.startswith("up{")
    for metric, matchers in re.findall(r"(celeriac_\w+)\{([^}]*)\}", query):
        for label, values in re.findall(r'(\w+)=~?"([^"]*)"', matchers):
            known = {labels.get(label) for labels in told[metric]}
            assert set(values.split("|")) <= known, (metric, label, known)


def test_run_is_counted(stack: RunningStack) -> None:
    def succeeded() -> float:
        with urllib.request.urlopen(f"{stack.url}/metrics", timeout=30) as answer:
            found = re.search(rb'celeriac_runs_recent{outcome="succeeded"} (\S+)', answer.read())
        return float(found[1]) if found else 0.0

    stack.wait_for(stack.submit("text.reverse", {"text": "hello"}))

    eventually(succeeded, deadline_s=WITHIN_S)
