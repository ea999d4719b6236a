"""The audit of exports: what a firm runs on its first day; exports in, a report out.

Read upward, from what the others stand on. What it finds, and what it reads:

- `findings`: everything an audit finds, as frozen values that the renderers write down;
- `rows`, `spreadsheets`, `sheets`: a CSV or XLSX file as rows of cells, or a refusal;
- `mapping`: which column of an export means what, from a connector or from a file;
- `records`, `words`, `locales`: what one row says; words, dates and money as people write them;
- `exports`: the rows of one export as records, and what was refused of it;
- `shelf`, `processes`, `reading`: all exports read side by side, and put away in files.

Which rows are one case, and what is true of it:

- `likeness`, `decisions`: how much two records are alike, and what a person said of them;
- `grouping`, `matching`: which records of several tools are one case, and how sure that is;
- `course`, `casework`, `judging`: where a case stands, who is believed, and what is wrong;
- `verdicts`, `summing`, `planning`, `auditing`: all cases judged and summed up.

What is written down:

- `adopting`: the import file that opens every case of which nothing is in doubt;
- `declaring`: what the plan declares, completed until `check` would take it;
- `report`: what is said of an audit, and in which order;
- `terminal`, `html`, `markdown`, `tables`, `json`: the report laid out;
- `confirming`: the walk through rows that may be one job;
- `command`: `statekeeper audit`.

Nothing here writes to any database.
"""
