import sys

from luma_mcp.__main__ import main

sys.exit(main([]))
