"""What is true. Read upward:

- `refusals` is every way of saying no.
- `fields` has the canonical formats: normalise or refuse; `codes` are the currencies and countries
  it knows, `comparable` is how values compare in conditions.
- `declaration` is what a business declares, as frozen structs; `events` is what is recorded.
- `streams` names the log's streams.
- `chart` says what a transition leads to, `ownership` who may do it, `vocabulary` what each tool
  calls a state.
- `model` is one adopted declaration with all that is derived from it.
- `case` is one job or client, and how it evolves; `references` are the tools' own ids of it,
  `values` what somebody gives for its fields, `moves` what is open to it. `changes` is what can be
  asked of it, and decides: purely, events or a no.
- `mirror` is what one tool says of a case and was told, `reports` what a report means: its outcome;
  `notices` is what a change makes due to which tool.
- `drift` is where a tool and the shared state differ, and how that ends.
- `messages` is what is heard and what it is about; `hearing` takes one in with all that it causes,
  and decides again what came too early; `rehearing` does so on request.
- `known` is what a stream amounts to, `asks` what can be asked; `settling` decides an ask: the
  events it causes and the answer, or a no, of which `refusing` keeps what is to stand.
- `telling` is what becomes of a notice: decided on its stream, by whoever carries it; `signing` and
  `writing` are how it is sent.
- `definition` reads a business's files, and `connectors` is how products speak; `doubts` finds what
  in a connector is wrong or can never work, with `provable` for its signature. `checks` finds all
  that is wrong in definitions, with `scope` for what their names can mean, `conditions` for those
  of transitions, `coverage` for where cases can come, and `fitting` for what they say of products.
- `bodies` reads what products send, `readings` how they write times and money, `expressions` how a
  connector points into it; `signatures` says whether a delivery is genuine, `deliveries` what it
  says.

Down to here nothing touches the world. Below:

- `catalogue` reads the definitions folder, checks it whole and hands out one frozen `Catalogue`.
- `log` is what both recorders promise, `sqlite` and `postgres` are the two, `connections` how
  PostgreSQL is reached; `vault` has the keys of what may be erased; `mapper` carries entries
  between our events and the stored ones.
- `memory` is what this process knows of the log; `journal` takes asks in and makes events durable,
  and its `pulse` says how it fares.
- `census` is where every case stands, by the whole log; `inherited` is what a new definition would
  lose from sight, and `rewording` tells tools the words that it has for them. `opening` opens all
  of it, `adoption` decides which text of a definition rules.
"""
