"""Who ran the tests, for Allure's ``executor.json``: a CI service with links to its build, or a host and a command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def executor(environment: Mapping[str, str], *, host: str, command: str) -> dict[str, Any]:
    """What `environment`, variables of a process, tells of the CI service that runs it.

    Args:
        environment: as services set it: docs.github.com (default environment variables), docs.gitlab.com (predefined
            CI/CD variables), the ``env-vars.html`` of any Jenkins, buildkite.com/docs/pipelines/environment-variables.
        host: stands there where no service is known.
        command: what was run, likewise.

    """
    told = environment.get
    if told("GITHUB_ACTIONS"):
        server = f"{told('GITHUB_SERVER_URL', '')}/{told('GITHUB_REPOSITORY', '')}"
        name, number = told("GITHUB_WORKFLOW", ""), told("GITHUB_RUN_NUMBER", "")
        return _facts(
            "GitHub Actions", "github", server, name, number, f"{server}/actions/runs/{told('GITHUB_RUN_ID', '')}"
        )
    if told("GITLAB_CI"):
        name, server = told("CI_JOB_NAME", ""), told("CI_PROJECT_URL", "")
        return _facts("GitLab CI", "gitlab", server, name, told("CI_PIPELINE_IID", ""), told("CI_JOB_URL", ""))
    if told("JENKINS_URL"):
        name, server = told("JOB_NAME", ""), told("JENKINS_URL", "")
        return _facts("Jenkins", "jenkins", server, name, told("BUILD_NUMBER", ""), told("BUILD_URL", ""))
    if told("BUILDKITE"):
        name, url = told("BUILDKITE_PIPELINE_SLUG", ""), told("BUILDKITE_BUILD_URL", "")
        server = url.partition("/builds/")[0]
        return _facts("Buildkite", "buildkite", server, name, told("BUILDKITE_BUILD_NUMBER", ""), url)
    return {"name": host, "type": "host", "buildName": command}


def write_executor(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write ``executor.json`` into `folder`, an Allure results folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "executor.json").write_text(
        json.dumps(dict(facts), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def _facts(name: str, kind: str, server: str, build: str, number: str, url: str) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "type": kind, "buildName": f"{build} #{number}".strip(" #")}
    if number.isdecimal():
        found["buildOrder"] = int(number)
    # The report is an artifact of the build; a report opens no other kind of address.
    links = {"url": server, "buildUrl": url, "reportUrl": url}
    found |= {key: link for key, link in links.items() if link.startswith(("http://", "https://"))}
    return found
