"""Tests of `plan` with the real program on its own sandbox, and a simulated forge on loopback.

    ROLECALL=target/debug/rolecall python3 -m unittest discover deploy/github-action/tests

tests/it/plan_comment.rs runs them with every other test.
"""

import http.server
import importlib.machinery
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import types
import unittest

sys.dont_write_bytecode = True
PLAN = pathlib.Path(__file__).resolve().parent.parent / "plan"
plan = types.ModuleType("plan")
importlib.machinery.SourceFileLoader("plan", str(PLAN)).exec_module(plan)

BOT = {"login": "github-actions[bot]", "id": 7}
MARKER = "<!-- rolecall-plan: plan -->"


class Sandbox:
    """The two simulated directories, and settings for them."""

    def __init__(self, place, users):
        self.settings = place / f"sandbox-{users}.toml"
        log = open(place / f"sandbox-{users}.log", "w", encoding="utf-8")
        self.process = subprocess.Popen(
            [os.environ["ROLECALL"], "sandbox", "--users", str(users), "--seed", "7", "--write-config", str(self.settings)],
            stdout=log, stderr=log, cwd=place,
        )
        log.close()
        for _ in range(600):
            if self.settings.exists() and "Serving" in (place / f"sandbox-{users}.log").read_text(encoding="utf-8"):
                return
            time.sleep(0.1)
        raise AssertionError((place / f"sandbox-{users}.log").read_text(encoding="utf-8"))

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)


class Forge:
    """Comments of one pull request, as GitHub's and GitLab's APIs show them. Faults are taken in turn."""

    def __init__(self):
        self.comments = []
        self.requests = []
        self.faults = []
        forge = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def answer(self, status, value, headers=()):
                body = json.dumps(value).encode("utf-8")
                self.send_response(status)
                for name, text in headers:
                    self.send_header(name, text)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def serve(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                path, _, query = self.path.partition("?")
                forge.requests.append((self.command, path))
                token = self.headers.get("Authorization") or self.headers.get("PRIVATE-TOKEN")
                if token not in ("Bearer forge-token", "forge-token"):
                    return self.answer(401, {})
                fault = next((each for each in forge.faults if each[0] == self.command), None)
                if fault:
                    forge.faults.remove(fault)
                    return self.answer(fault[1], {}, fault[2:])
                if path == "/user":
                    return self.answer(200, BOT)
                last = path.rsplit("/", 1)[1]
                if self.command == "GET":
                    page = int(re.search(r"[?&]page=(\d+)", "?" + query).group(1))
                    return self.answer(200, forge.comments[(page - 1) * 100 : page * 100])
                if self.command == "POST":
                    forge.add(BOT, body["body"])
                    return self.answer(201, forge.comments[-1])
                found = next((each for each in forge.comments if str(each["id"]) == last), None)
                if found is None:
                    return self.answer(404, {})
                found["body"] = body["body"]
                return self.answer(200, found)

            do_GET = do_POST = do_PATCH = do_PUT = serve

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def add(self, user, body):
        self.comments.append({"id": len(self.comments) + 1, "user": user, "author": user, "body": body})

    def methods(self):
        return [method for method, _ in self.requests]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class PlanTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.place = pathlib.Path(cls.directory.name)
        cls.sandbox = Sandbox(cls.place, 120)

    @classmethod
    def tearDownClass(cls):
        cls.sandbox.stop()
        cls.directory.cleanup()

    def setUp(self):
        self.forge = Forge()
        self.addCleanup(self.forge.stop)
        self.output = self.place / self.id().rsplit(".", 1)[1]
        (self.place / "event.json").write_text('{"pull_request": {"number": 12}}', encoding="utf-8")
        self.environment = {
            "PATH": os.environ["PATH"],
            "ROLECALL__STORE__PATH": str(self.output) + ".db",
            "GITHUB_API_URL": self.forge.url,
            "GITHUB_EVENT_PATH": str(self.place / "event.json"),
            "GITHUB_REPOSITORY": "example/settings",
            "GITHUB_TOKEN": "forge-token",
            "GITHUB_OUTPUT": str(self.output) + ".outputs",
        }

    def step(self, name, *arguments, expect=0):
        result = subprocess.run(
            [sys.executable, str(PLAN), name, "--output", str(self.output), *arguments],
            env=self.environment, capture_output=True, text=True, check=False, cwd=self.place, timeout=300,
        )
        self.assertEqual(result.returncode, expect, result.stdout + result.stderr)
        return result.stdout + result.stderr

    def run_plan(self, *more, sandbox=None):
        settings = (sandbox or self.sandbox).settings
        extra = [word for file in more for word in ("--config", str(file))]
        self.step("run", "--rolecall", os.environ["ROLECALL"], "--config", str(settings), *extra)
        text = pathlib.Path(self.environment["GITHUB_OUTPUT"]).read_text(encoding="utf-8")
        return dict(line.split("=", 1) for line in text.splitlines())

    def settings(self, text):
        file = self.place / (self.id().rsplit(".", 1)[1] + ".toml")
        file.write_text(text, encoding="utf-8")
        return file

    def report(self):
        return json.loads((self.output / "report.json").read_text(encoding="utf-8"))

    def result(self, **values):
        self.output.mkdir(exist_ok=True)
        base = {"exit_code": 0, "outcome": "in_sync", "plan_id": "", "deactivations": 0, "checked": True}
        (self.output / "result.json").write_text(json.dumps(base | values), encoding="utf-8")

    # The dry run and its outputs

    def test_the_outputs_are_what_the_report_says(self):
        outputs = self.run_plan()
        report = self.report()
        deactivations = [each for each in report["actions"] if each["kind"] == "deactivate"]
        self.assertGreater(len(deactivations), 0)
        self.assertEqual(outputs, {"outcome": "changes_pending", "plan-id": report["plan_id"], "deactivations": str(len(deactivations)), "exit-code": "6"})
        self.assertIn(f"ROLECALL_PLAN_ID={report['plan_id']}\n", (self.output / "plan.env").read_text(encoding="utf-8"))
        self.assertIn(f"- Plan: {report['plan_id']}", (self.output / "report.md").read_text(encoding="utf-8"))
        self.assertEqual(report["mode"], "dry_run")

    def test_a_held_plan_is_said_and_fails_only_where_it_is_to(self):
        outputs = self.run_plan(self.settings("[guards]\nmax_deactivations = 0\n"))
        self.assertEqual((outputs["outcome"], outputs["exit-code"]), ("held", "3"))
        self.step("comment")
        body = self.forge.comments[0]["body"]
        self.assertLess(body.index("### Guards (1 holds this plan)"), body.index("<details>"))
        self.step("verdict", "--fail-on", "1,2,4")
        self.step("verdict", "--fail-on", "1 2 3", expect=3)

    def test_wrong_credentials_make_no_plan_and_the_comment_says_why(self):
        outputs = self.run_plan(self.settings('[opsera]\ntoken = "not-the-token"\n'))
        self.assertEqual((outputs["outcome"], outputs["plan-id"], outputs["exit-code"]), ("failed", "", "1"))
        self.step("comment")
        self.assertIn("**No plan: `rolecall check` found", self.forge.comments[0]["body"])
        self.assertIn("opsera.token", self.forge.comments[0]["body"])
        self.assertNotIn("not-the-token", self.forge.comments[0]["body"])
        self.step("verdict", expect=1)

    def test_settings_that_are_wrong_make_no_plan(self):
        outputs = self.run_plan(self.settings("[guards]\nmax_deactivation = 1\n"))
        self.assertEqual(outputs["outcome"], "failed")
        self.step("verdict", expect=1)

    def test_a_program_that_is_not_there_is_named(self):
        self.assertIn("install rolecall in an earlier step", self.step("run", "--rolecall", "/nowhere/rolecall", expect=1))

    # The comment

    def test_one_comment_is_replaced_again_and_again(self):
        self.run_plan()
        for _ in range(3):
            self.step("comment", "--artefact-url", "https://forge.example/artefacts/1")
        self.assertEqual(len(self.forge.comments), 1)
        self.assertEqual(self.forge.methods(), ["GET", "POST", "GET", "PATCH", "GET", "PATCH"])
        body = self.forge.comments[0]["body"]
        self.assertTrue(body.startswith(MARKER + "\n## rolecall\n"), body)
        self.assertIn("[artefact of this job](https://forge.example/artefacts/1)", body)
        self.assertIn("<summary>Deactivations: ", body)
        self.assertLess(body.index("Deactivations: "), body.index("Role changes ("))
        self.assertEqual(body.count("<details>"), body.count("</details>"))

    def test_it_is_found_behind_a_hundred_others_and_theirs_are_left_alone(self):
        self.result()
        for number in range(150):
            self.forge.add({"login": f"person-{number}"}, MARKER + " written by somebody else")
        self.forge.add(BOT, "<!-- rolecall-plan: plan-2 --> of another plan")
        self.forge.add(BOT, "quoted: " + MARKER)
        self.forge.add(BOT, MARKER + "\nours")
        self.step("comment")
        self.assertEqual(self.forge.methods(), ["GET", "GET", "PATCH"])
        self.assertEqual(len(self.forge.comments), 153)
        changed = [each["id"] for each in self.forge.comments if "The directories changed" in each["body"]]
        self.assertEqual(changed, [153])

    def test_a_comment_that_has_gone_is_written_anew(self):
        self.result()
        self.forge.add(BOT, MARKER)
        self.forge.faults = [("PATCH", 404)]
        self.step("comment")
        self.assertEqual(self.forge.methods(), ["GET", "PATCH", "POST"])

    def test_a_forge_that_stumbles_is_asked_again_but_never_told_twice(self):
        self.result()
        self.forge.faults = [("GET", 502), ("POST", 502)]
        said = self.step("comment", expect=1)
        self.assertEqual(self.forge.methods(), ["GET", "GET", "POST"])
        self.assertIn("was answered with 502", said)

    def test_what_the_token_may_not_do_is_said_without_the_token(self):
        self.result()
        self.forge.faults = [("POST", 403)]
        said = self.step("comment", expect=1)
        self.assertIn("the token may not write comments", said)
        self.assertNotIn("forge-token", said)

    def test_the_token_follows_no_redirect_and_crosses_no_open_network(self):
        self.result()
        other = Forge()
        self.addCleanup(other.stop)
        self.forge.faults = [("GET", 302, ("Location", other.url + "/stolen"))]
        self.step("comment", expect=1)
        self.assertEqual(other.requests, [])
        self.environment["GITHUB_API_URL"] = "http://forge.example"
        self.assertIn("is not https", self.step("comment", expect=1))

    def test_a_push_has_no_pull_request_to_comment_on(self):
        self.result()
        (self.place / "event.json").write_text('{"ref": "refs/heads/main"}', encoding="utf-8")
        self.assertIn("nothing to comment on", self.step("comment"))
        self.assertEqual(self.forge.requests, [])

    def test_gitlab_gets_the_same_as_a_note(self):
        self.run_plan()
        self.environment |= {"CI_API_V4_URL": self.forge.url, "CI_PROJECT_ID": "5", "CI_MERGE_REQUEST_IID": "9", "ROLECALL_GITLAB_TOKEN": "forge-token"}
        self.forge.add({"id": 8}, MARKER + " of somebody else")
        for _ in range(2):
            self.step("comment", "--forge", "gitlab")
        self.assertEqual(self.forge.methods(), ["GET", "GET", "POST", "GET", "GET", "PUT"])
        self.assertEqual(self.forge.requests[2][1], "/projects/5/merge_requests/9/notes")
        self.assertEqual(len(self.forge.comments), 2)

    # What a comment may hold

    def test_a_report_that_is_too_long_is_cut_between_two_lines(self):
        sandbox = Sandbox(self.place, 1500)
        self.addCleanup(sandbox.stop)
        # Nearly everybody becomes a leaver, and the guards hold it.
        outputs = self.run_plan(self.settings('[scope]\nrequired_groups = ["opsera-admins"]\n'), sandbox=sandbox)
        self.assertEqual(outputs["outcome"], "held")
        report = (self.output / "report.md").read_text(encoding="utf-8")
        self.assertGreater(len(report.encode("utf-8")), plan.COMMENT_LIMIT)
        self.step("comment", "--artefact-url", "https://forge.example/artefacts/1")
        body = self.forge.comments[0]["body"]
        self.assertLessEqual(len(body.encode("utf-8")), plan.COMMENT_LIMIT)
        self.assertGreater(len(body.encode("utf-8")), plan.COMMENT_LIMIT - 2000)
        self.assertEqual(body.count("<details>"), body.count("</details>"))
        self.assertRegex(body.splitlines()[-1], r"^\*\*Cut here .* \d+ lines more; the rest is in \[artefact of this job\]\(https://forge.example/artefacts/1\)\.\*\*$")
        lines = set(report.splitlines())
        table = [line for line in body.splitlines() if line.startswith("|")]
        self.assertGreater(len(table), 300)
        self.assertLessEqual(set(table), lines)

    def test_every_limit_gives_a_body_that_fits_with_every_fold_and_fence_closed(self):
        self.run_plan()
        options = types.SimpleNamespace(output=self.output)
        lines = plan.body_lines(options, json.loads((self.output / "result.json").read_text(encoding="utf-8")))
        link = "[artefact](https://forge.example/a)"
        whole = plan.size("\n".join([MARKER, *lines, f"The whole report: {link}"]) + "\n")
        for limit in [*range(600, whole + 1000, 37), whole - 1, whole]:
            body = plan.cut(MARKER, lines, link, limit)
            self.assertLessEqual(plan.size(body), limit)
            self.assertEqual(body.count("<details>"), body.count("</details>"), limit)
            self.assertEqual(len(re.findall("^```", body, re.MULTILINE)) % 2, 0, limit)
            self.assertEqual("Cut here" in body, limit < whole, limit)

    def test_titles_and_checks_cannot_become_markup(self):
        lines = plan.fold_sections(["## rolecall", "### Findings\\_of <img src=x> (1)", "| a |"])
        self.assertIn("<summary>Findings_of &lt;img src=x&gt; (1)</summary>", lines)
        self.assertEqual(plan.fenced("a\n````\nb")[0], "`````text")

    # The verdict

    def test_the_policy_decides_by_exit_code_and_a_killed_program_always_fails(self):
        for code, fail_on, expected in [(0, "1,2,3,5,6", 0), (6, "", 0), (6, "6", 6), (5, "1,2,4", 0), (5, "5", 5), (1, "", 0), (-9, "", 1), (137, "1", 1)]:
            self.result(exit_code=code)
            with self.subTest(code=code, fail_on=fail_on):
                self.step("verdict", "--fail-on", fail_on, expect=expected)
        self.assertIn("must be exit codes", self.step("verdict", "--fail-on", "held", expect=1))


if __name__ == "__main__":
    unittest.main()
