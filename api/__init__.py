"""Every way in. Read upward:

- `problems` is refusal → HTTP, one table; `door` is a request as it arrives and an answer as it
  leaves; `keys` knows who is asking.
- `cases`, `transitions`, `fields`, `references`, `explain`, `tools` and `lifecycles` are one
  resource each; `health` tells whether this process can serve.
- `webhooks` takes in what products send: `ears` knows how each tool is heard, `fetching` asks a
  product for a record that was only named, `completing` goes on asking.
- `openapi` describes them, with the `examples` of one job's walk; `pages` explains every problem to
  people.
- `settings` is all that an operator can set; `app` wires the web process, `serving` runs it;
  `cli` is the command line.
"""
