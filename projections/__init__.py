"""Every way out. Read upward:

- `sentences` says each event in one plain sentence.
- `timeline` shows the events of a case, oldest first; `why` explains a status by them.
- `views` shows a case as it is, to staff and as each tool says it.
- `picture` draws a lifecycle.
"""
