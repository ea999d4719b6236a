"""The audit of exports: what a firm runs on its first day; exports in, a report out.

Read upward, from what the others stand on:

- `findings`: everything an audit finds, as frozen values that the renderers write down;
- `mapping`: which column of an export means what, from a connector or from a file;
- `sheets`: a CSV or XLSX file as rows of text, in bounded memory, or a refusal;
- `locales`: dates and money as people write them, settled by the whole column;
- `exports`: the rows of one export as records, and what was refused of it;
- `matching`: which records of several tools are one case, and how sure that is;
- `judging`: what the tools disagree on, and who should be believed;
- `auditing`: one audit from beginning to end;
- `adopting`: the import file that opens every agreed case in the service;
- `declaring`: what the plan declares, completed until `check` would take it;
- `report`: what is said of an audit, and in which order;
- `terminal`, `html`, `markdown`, `tables`: the report laid out;
- `confirming`: the walk through rows that may be one job;
- `command`: `statekeeper audit`.

Nothing here writes to any database.
"""
