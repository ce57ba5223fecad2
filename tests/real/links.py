"""Prints links between the documents below the directory given that lead to no file or heading."""

import re
import sys
from pathlib import Path

top = Path(sys.argv[1]).resolve()
documents = sorted([*top.glob("*.md"), *top.glob("docs/*.md"), *top.glob("tests/*.md")])


def anchors(path):
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


failed = False
for document in documents:
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            print(f"{document.relative_to(top)}: {link}")
            failed = True
sys.exit(failed)
