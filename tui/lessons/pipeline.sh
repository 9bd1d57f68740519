# Two pipelines. First: who waits for whom. `yes` fills its pipe and blocks; `head` has enough at last, and the kernel
# ends `yes` with SIGPIPE, since nobody is left to read.
yes | head -n 200000 | sort | uniq -c
# Then: a reader on an empty pipe, and signals that reach it while it is BLOCKED.
( sleep 4; echo done ) | sh -c '
  trap "echo handler of USR1 ran" USR1
  ( sleep 1; kill -USR1 $$; sleep 1; kill -USR1 $$ ) &
  read line || read line || read line
  echo "read: $line"
'
