"""Every way out. Read upward:

- `sentences` says each event in one plain sentence.
- `timeline` shows the events of a case, oldest first; `why` explains a status by them.
- `views` shows a case as it is, to staff and as each tool says it.
- `lettering` is what is written in a picture, `geometry` where things stand in it; `rows` orders
  and spaces them, `layout` places them all, and `picture` draws a lifecycle.
- `tables` holds the SQL of the read models, `store` opens the database they stand in.
- `follower` reads the log for them; `board` is where every case stands, and the lists over it.
- `records` is what read models of one row a record have in common: `messages`, everything that was
  heard; `notices`, everything that tools are told; `drift`, where they differ from what is true.
- `patience` is how long to wait, `routes` where each tool is told, `posting` sends one message to
  one address; `book` is what waits and who is at it, on a `shelf` of its own; `alerts` tells
  stewards, and `courier` carries notices.
- `retention` lets go of how messages came, once they were kept long enough.
- `live` is the end of the log, for all who listen; `worker` runs what goes out.
"""
