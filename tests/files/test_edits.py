"""Files that are made of clips, below the tool."""

import re
from pathlib import Path

import pytest

from luma_mcp.domain.errors import FileError
from luma_mcp.files import edits


def test_the_space_of_a_folder_that_does_not_exist_yet_is_that_of_the_disk_it_would_be_on(tmp_path: Path) -> None:
    edits._check_space(tmp_path / "films" / "new", 1)
    with pytest.raises(FileError, match=rf"may need 1,000,000,000,000 MB, and {re.escape(str(tmp_path))} has"):
        edits._check_space(tmp_path / "films" / "new", 10**18)
