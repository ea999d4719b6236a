"""Every way in. Read upward:

- `problems` is refusal → HTTP, one table; `door` is a request as it arrives and an answer as it
  leaves, with `digits` for numbers in it; `keys` knows who is asking, and `asking` makes an ask of
  a visit.
- `cases`, `transitions`, `facts`, `references`, `explain`, `tools` and `lifecycles` are one
  resource each; `lists` are many cases, `events` is the log, paged and live.
- `lines` are those of an import, `imports` takes them over HTTP, `importing` from a file.
- `reports` is what tools say, `webhooks` what products send: `ears` knows how each tool is heard,
  `fetching` asks a product for a record that was only named, `completing` goes on asking, and
  `releasing` goes on with what waited for a reference.
- `paging` is one list of records, by filters and pages, for `messages`, `notices` and `drift`;
  `bulk` does the same to all that a filter names, `remembering` keeps the answer under its key;
  `missing` is what tools were never told.
- `openapi` describes all of it, with the `examples` of one job's walk; `pages` is for people.
- `health` tells whether this process can serve, `metrics` counts, `logs` is what it says of itself.
- `settings` is all that an operator can set; `app` wires the web process, `serving` runs it,
  and `attending` its worker beside it.
- `cli` is the command line: `verifying` a log, `copying` it, `audit` of exports, a `demo` (with
  `untold`, a notice that nobody takes).
"""
