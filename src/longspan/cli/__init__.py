"""The command line: one file per verb, loaded only when it is called."""

from longspan.cli.main import main as main
