"""The Notion connector: pages of a Notion database become manifests, and show what became of them."""
