"""Every way out. Read upward:

- `sentences` says each event in one plain sentence, `tellings` those of hearing and telling;
  `wording` has the words that both are made of.
- `timeline` shows the events of a case, oldest first; `why` explains a status by them.
- `views` shows a case as it is, to staff and as each tool says it.
- `lettering` is what is written in a picture, `geometry` where things stand in it; `rows` orders
  and spaces them, `layout` places them all, and `picture` draws a lifecycle.
- `tables` holds the SQL of the read models, `store` opens the database they stand in: by
  `sqlite_store` or `postgres_store`, of which only the one that is needed is loaded.
- `words` is what a case can be found by, `blocks` how a set of cases is written, and `sets` writes
  those in a state, and those that hold a word.
- `lookout` sees that the log goes on, and wakes who waits for that.
- `follower` reads the log for them; `board` is where every case stands. `sieve` cuts the cases out
  of it that a list asks for, and `finding` puts them in order, page by page.
- `records` is one list of records, filtered and paged, for three read models of one row a record:
  `messages`, everything that was heard; `notices`, everything that tools are told; `drift`, where
  they differ from what is true.
- `patience` is how long to wait, `routes` where each tool is told, `posting` sends one message to
  one address; `book` is what waits and who is at it, on a `shelf` of its own (`sqlite_shelf`,
  `postgres_shelf`); `waits` says why;
  `alerts` tells stewards, and `courier` carries notices.
- `retention` lets go of how messages came, once they were kept long enough.
- `live` is the end of the log, for all who listen; `worker` runs what goes out.
"""
