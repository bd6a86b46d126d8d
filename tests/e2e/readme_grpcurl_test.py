"""Runs each grpcurl command of README.md as it is printed, in order, against a server of its own.

Only the address (the README's is the default port) and the job's name (the README says JOB) are put in.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from tandem_server import Server  # noqa: E402

README = pathlib.Path(__file__).parent.parent.parent / "README.md"


def printed_commands():
    """[(command, its RPC's name)] of all ```sh grpcurl blocks."""
    commands = []
    for block in re.findall(r"^```sh grpcurl\n(.*?)^```", README.read_text(), re.M | re.S):
        for command in re.split(r"^(?=grpcurl )", block, flags=re.M):
            if command.strip():
                commands.append((command.strip(), command.split()[-1].rsplit("/", 1)[-1]))
    return commands


def messages(text):
    """The JSON objects that grpcurl printed one after another."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = decoder.raw_decode(text, at)
        found.append(value)
    return found


class ReadmeTest(unittest.TestCase):
    def test_every_printed_command_works(self):
        commands = printed_commands()
        self.assertGreater(len(commands), 15)
        tools = tempfile.TemporaryDirectory()
        self.addCleanup(tools.cleanup)
        os.symlink(os.environ["TANDEM_GRPCURL"], pathlib.Path(tools.name) / "grpcurl")
        environment = dict(os.environ, PATH=tools.name + ":" + os.environ["PATH"])
        job, answers = None, {}
        with Server() as server:
            for command, rpc in commands:
                command = command.replace("127.0.0.1:7700", server.address)
                if "jobs/JOB" in command:
                    command = command.replace("jobs/JOB", job)
                result = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=300)
                self.assertEqual(result.returncode, 0, f"{command}\n{result.stderr}\n{server.log_text()[-3000:]}")
                answers.setdefault(rpc, []).append(messages(result.stdout))
                if rpc == "Train":
                    job = answers[rpc][-1][0]["name"]
        self.assertEqual(answers["Check"][0], [{"status": "SERVING"}])
        self.assertEqual(len(answers["Embed"][0][0]["embeddings"][0]["vector"]["values"]), 384)
        for stream in answers["WatchRelease"]:
            self.assertEqual(stream[-1]["state"], "READY")
        steps = [event["step"] for event in answers["WatchJob"][0] if "step" in event]
        self.assertEqual([int(step["step"]) for step in steps], [1, 2, 3])
        self.assertEqual(answers["WatchJob"][0][-1].get("state_changed"), "SUCCEEDED", answers["WatchJob"][0])
        sequences = [int(e["sequence"]) for e in answers["WatchJob"][0] if "heartbeat" not in e]
        self.assertEqual(sequences, list(range(1, len(sequences) + 1)))
        first, hybrid, keyword, recommended, second = (answer[0] for answer in answers["Search"])
        self.assertEqual([hit["id"] for hit in hybrid["hits"]], ["kettle", "lamp"])
        self.assertIn("keyword_score", hybrid["hits"][0])
        self.assertEqual([hit["id"] for hit in keyword["hits"]], ["lamp"])
        self.assertNotIn("document", keyword["hits"][0])
        self.assertEqual(sorted(hit["id"] for hit in recommended["hits"]), ["kettle", "lamp"])
        self.assertEqual(answers["CountDocuments"][0][0]["count"], "2")
        self.assertEqual(answers["DeleteDocuments"][0][0]["deleted"], "1")
        self.assertEqual(first["release"], "collections/answers/releases/first")
        self.assertEqual(second["release"], "collections/answers/releases/second")
        self.assertEqual(first["hits"][0]["id"], "password")
        self.assertEqual(second["hits"][0]["id"], "password")
        self.assertEqual(first["hits"][0]["document"]["payload"], {"language": "en"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
