"""Tests of the chart: `deploy/helm/test` starts them with a helm and a Python that reads YAML.

A values file in `accepted/` must render, lint, satisfy Kubernetes' schemas and give exactly the
rendering in `rendered/`. One in `refused/` must be refused with the words in its first line.
"""

import difflib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import yaml

HERE = pathlib.Path(__file__).resolve().parent
CHART = HERE.parent / "rolecall"
DEPLOY = HERE.parent.parent
RELEASE = ["rolecall", str(CHART), "--namespace", "identity"]
# The oldest version that the chart takes, and the newest that the package knows.
VERSIONS = [["--kubernetes-version", "1.31"], []]

helm, operators = sys.argv[1:3]
accept = "--accept" in sys.argv[3:]
failures = []
passed = 0


def check(what, problem):
    """Counts a test; `problem` is empty if all is well."""
    global passed
    if problem:
        failures.append(what)
        print(f"FAILED {what}\n{problem}\n")
    else:
        passed += 1
        print(f"ok     {what}")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


def values_of(kind):
    files = sorted((HERE / kind).glob("*.yaml"))
    assert len(files) > 4, f"{kind} holds too few values files"
    return files


def render(values):
    """The documents that the chart makes of a values file."""
    result = run(helm, "template", *RELEASE, "--values", str(values))
    assert result.returncode == 0, result.stderr
    return result.stdout, [each for each in yaml.safe_load_all(result.stdout) if each]


def is_copy(document):
    """Whether a document holds a file of deploy/ that has a test of its own."""
    return document["kind"] == "PrometheusRule" or document["metadata"]["name"].endswith("-dashboard")


def of_kind(documents, kind):
    return [each for each in documents if each["kind"] == kind]


def pod_of(document):
    spec = document["spec"]
    return (spec["jobTemplate"]["spec"] if document["kind"] == "CronJob" else spec)["template"]["spec"]


def workloads(documents):
    return of_kind(documents, "CronJob") + of_kind(documents, "StatefulSet")


def golden(values, text):
    """Compares a rendering, without copies of other files, with the one that was looked at."""
    parts = [part for part in text.split("\n---\n") if yaml.safe_load(part)]
    shown = "\n---\n".join(part.strip("\n") for part in parts if not is_copy(yaml.safe_load(part))) + "\n"
    kept = HERE / "rendered" / values.name
    if accept:
        kept.write_text(shown)
    before = kept.read_text() if kept.exists() else ""
    return "".join(difflib.unified_diff(before.splitlines(True), shown.splitlines(True), str(kept), "rendered now"))


def is_of_an_operator(document):
    return document["kind"] in ("PodMonitor", "ServiceMonitor", "PrometheusRule", "ExternalSecret")


def operators_schemas(documents):
    """What the operators' own schemas find wrong with the objects for them."""
    theirs = [each for each in documents if is_of_an_operator(each)]
    program = (HERE / "operators.mjs").read_text()
    result = subprocess.run(
        ["node", "--input-type=module", "--eval", program],
        input=json.dumps(theirs), cwd=operators, capture_output=True, text=True, check=False,
    )
    return "" if result.returncode == 0 else result.stdout + result.stderr


def schemas(documents):
    """What Kubernetes' schemas find wrong."""
    own = [each for each in documents if not is_of_an_operator(each)]
    problems = []
    with tempfile.TemporaryDirectory() as place:
        path = pathlib.Path(place) / "rendered.yaml"
        path.write_text(yaml.safe_dump_all(own))
        for version in VERSIONS:
            validate = str(pathlib.Path(sys.executable).with_name("kubernetes-validate"))
            result = run(validate, "--strict", "--quiet", *version, str(path))
            if result.returncode != 0:
                problems.append(result.stdout + result.stderr)
    return "".join(problems)


def restricted(documents):
    """What the Pod Security Standard `restricted` would object to, and a token for the cluster."""
    problems = []
    for workload in workloads(documents):
        pod = pod_of(workload)
        context = pod["securityContext"]
        container = pod["containers"][0]["securityContext"]
        expected = [
            (pod["automountServiceAccountToken"], False),
            (context["runAsNonRoot"], True),
            (context["seccompProfile"], {"type": "RuntimeDefault"}),
            (container["allowPrivilegeEscalation"], False),
            (container["readOnlyRootFilesystem"], True),
            (container["capabilities"], {"drop": ["ALL"]}),
        ]
        problems += [f"{workload['metadata']['name']}: {found} is not {wanted}" for found, wanted in expected if found != wanted]
        problems += [key for key in ("hostNetwork", "hostPID", "hostIPC") if key in pod]
        allowed = {"configMap", "secret", "persistentVolumeClaim", "emptyDir"}
        problems += [str(volume) for volume in pod["volumes"] if not (set(volume) - {"name"}) <= allowed]
    return "\n".join(problems)


def every_team_is_apart(documents):
    """Two workloads that share a store, a Secret or settings."""
    problems = []
    for volume, path in (("store", ("persistentVolumeClaim", "claimName")), ("secrets", ("secret", "secretName")), ("config", ("configMap", "name"))):
        names = []
        for workload in workloads(documents):
            found = next(each for each in pod_of(workload)["volumes"] if each["name"] == volume)
            names.append(found[path[0]][path[1]])
        if len(set(names)) != len(names):
            problems.append(f"{volume}: {names}")
    return "\n".join(problems)


def selectors_meet_their_pods(documents):
    """A NetworkPolicy, Service or monitor that selects no pod protects and shows nothing."""
    problems = []
    labels = []
    for workload in workloads(documents):
        spec = workload["spec"]
        spec = spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec
        labels.append(spec["template"]["metadata"]["labels"])
    services = [each["metadata"]["labels"] for each in of_kind(documents, "Service")]
    for document in documents:
        spec = document.get("spec", {})
        where = services if document["kind"] == "ServiceMonitor" else labels
        selector = spec.get("podSelector", spec.get("selector", {}))
        selector = selector.get("matchLabels", selector)
        if document["kind"] not in ("NetworkPolicy", "Service", "StatefulSet", "PodMonitor", "ServiceMonitor"):
            continue
        if not selector or not any(selector.items() <= each.items() for each in where):
            problems.append(f"{document['kind']} {document['metadata']['name']} selects nothing: {selector}")
    return "\n".join(problems)


def kustomization(name):
    result = run("kubectl", "kustomize", str(DEPLOY / "kubernetes" / name))
    assert result.returncode == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


def comparable(document):
    """What must not differ between chart and kustomization, whatever the objects are called."""
    pod = dict(pod_of(document))
    container = {key: value for key, value in pod["containers"][0].items() if key != "image"}
    volumes = []
    for volume in pod["volumes"]:
        kind = next(key for key in volume if key != "name")
        named = {"configMap": "name", "secret": "secretName", "persistentVolumeClaim": "claimName"}.get(kind)
        volumes.append({"name": volume["name"], kind: {key: value for key, value in volume[kind].items() if key != named}})
    same = {"container": container, "volumes": volumes}
    for key in ("securityContext", "automountServiceAccountToken", "enableServiceLinks", "restartPolicy", "terminationGracePeriodSeconds"):
        same[key] = pod.get(key)
    if document["kind"] == "CronJob":
        job = document["spec"]["jobTemplate"]["spec"]
        for key in ("podFailurePolicy", "backoffLimit", "activeDeadlineSeconds"):
            same[key] = job[key]
        for key in ("schedule", "concurrencyPolicy", "startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
            same[key] = document["spec"][key]
    else:
        for key in ("replicas", "revisionHistoryLimit"):
            same[key] = document["spec"][key]
    return same


def same_as(documents, name, kind):
    """How the chart's workload differs from the kustomization's."""
    ours = comparable(of_kind(documents, kind)[0])
    theirs = comparable(of_kind(kustomization(name), kind)[0])
    problem = "".join(difflib.unified_diff(yaml.safe_dump(theirs).splitlines(True), yaml.safe_dump(ours).splitlines(True), name, "chart"))
    return problem


def copies_are_the_files(documents):
    rules = of_kind(documents, "PrometheusRule")[0]["spec"]
    board = next(each for each in documents if each["metadata"]["name"].endswith("-dashboard"))["data"]["rolecall.json"]
    problems = []
    if rules != yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text()):
        problems.append("the PrometheusRule is not deploy/prometheus/alerts.yaml")
    if board.strip() != (DEPLOY / "grafana/rolecall.json").read_text().strip():
        problems.append("the dashboard is not deploy/grafana/rolecall.json")
    return "\n".join(problems)


def notes(values, *expected):
    """What lacks in the notes, which helm shows after an installation, and without a cluster only in a manifest."""
    with tempfile.TemporaryDirectory() as place:
        chart = pathlib.Path(place) / "rolecall"
        shutil.copytree(CHART, chart)
        (chart / "templates/notes.yaml").write_text(
            "kind: Notes\ntext: |\n  {{- include (print $.Template.BasePath \"/NOTES.txt\") . | nindent 2 }}\n"
        )
        result = run(helm, "template", "rolecall", str(chart), "--namespace", "identity", "--values", str(values), "--show-only", "templates/notes.yaml")
    if result.returncode != 0:
        return result.stderr
    shown = yaml.safe_load(result.stdout)["text"]
    return "\n".join(f"no {words!r} in:\n{shown}" for words in expected if words not in shown)


def main():
    accepted = {}
    for values in values_of("accepted"):
        result = run(helm, "lint", "--strict", str(CHART), "--values", str(values))
        check(f"{values.stem}: helm lint", "" if result.returncode == 0 else result.stdout + result.stderr)
        text, documents = render(values)
        accepted[values.stem] = documents
        check(f"{values.stem}: the rendering is the golden one", golden(values, text))
        check(f"{values.stem}: Kubernetes' schemas", schemas(documents))
        check(f"{values.stem}: the operators' schemas", operators_schemas(documents))
        check(f"{values.stem}: pods are restricted", restricted(documents))
        check(f"{values.stem}: selectors meet their pods", selectors_meet_their_pods(documents))

    for values in values_of("refused"):
        words = values.read_text().splitlines()[0].removeprefix("# refused: ")
        result = run(helm, "template", *RELEASE, "--values", str(values))
        refused = result.returncode != 0 and words in result.stderr
        check(f"refused: {values.stem}", "" if refused else f"expected {words!r}, got {result.returncode}: {result.stderr}")

    check("report is the kustomization's dry-run-report", same_as(accepted["report"], "overlays/dry-run-report", "CronJob"))
    check("cronjob is the kustomization's base", same_as(accepted["cronjob"], "base", "CronJob"))
    check("daemon is the kustomization's daemon", same_as(accepted["daemon"], "overlays/daemon", "StatefulSet"))
    check("several Teams share nothing", every_team_is_apart(accepted["teams"]))
    check("one workload for each Team", "" if len(workloads(accepted["teams"])) == 3 else "not three")
    check("rules and dashboard are the files of deploy/", copies_are_the_files(accepted["daemon"]))
    broken = [{**each, "spec": {**each["spec"], "podMetricsEndpoints": [{"interval": 5}]}} for each in of_kind(accepted["daemon"], "PodMonitor")]
    check("the operators' schemas find what is wrong", "" if operators_schemas(broken) else "a PodMonitor with a number for its interval is valid")
    check("the notes of a report say how to look at it", notes(HERE / "accepted/report.yaml", "kubectl -n identity create job --from=cronjob/rolecall-example", "create secret generic rolecall-example"))
    check("the notes of a daemon say how to check it", notes(HERE / "accepted/daemon.yaml", "kubectl -n identity exec rolecall-example-0 -- rolecall check"))

    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    os.environ.pop("KUBECONFIG", None)
    sys.exit(main())
