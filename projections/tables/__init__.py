"""Every SQL statement of the read models, one text for both databases; one noun a file:

- `board`, `messages`, `notices`, `drift` are what the read models of these names select and write.
- `records` counts what is in the last three, `follower` says how far all of them have come.
- `book` is the courier's, which stands apart.
- `making` makes them all, and has what the databases differ in.

Values are `:named`. Five words are spelled for the database by `store`: `{views}`, where the tables
stand; `{text}` and `{number}`, columns of text in the order of its bytes and of whole numbers of 64
bits; `{clustered}`, the end of a table that is best kept in its key's order; `{locked}`, how rows
are locked that are selected. Rows come in as one JSON list of lists, taken apart by `json_each`
(PostgreSQL is given a function of that name), so that any number of them is one statement.
"""
