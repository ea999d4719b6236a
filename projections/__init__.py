"""Every way out. Read upward:

- `sentences` says each event in one plain sentence.
- `timeline` shows the events of a case, oldest first; `why` explains a status by them.
- `views` shows a case as it is, to staff and as each tool says it.
- `lettering` is what is written in a picture, `geometry` where things stand in it; `rows` orders
  and spaces them, `layout` places them all, and `picture` draws a lifecycle.
- `tables` holds the SQL of the read models, `store` opens the database they stand in.
- `follower` reads the log for them; `board` is where every case stands, and the lists over it.
- `live` is the end of the log, for all who listen; `worker` runs what goes out.
"""
