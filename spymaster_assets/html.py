"""The frame of the HTML pages that are written: each is one file, without scripts, which asks nothing of any machine."""

from html import escape


def document(title: str, style: str, body: str, scheme: str = "light") -> str:
    """A page. `title`: text; `style`: CSS; `body`: HTML; `scheme`: the colours it knows, light or "light dark"."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="color-scheme" content="{scheme}">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
