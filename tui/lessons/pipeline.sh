# First: who waits for whom. `yes` fills its pipe and blocks; when `head` has had enough, nobody is left to read, and the
# kernel ends `yes` with SIGPIPE.
echo "1. a pipeline"
yes | head -n 4000000 | sort | uniq -c
# Then: signals that reach a reader while it is BLOCKED on an empty pipe.
echo "2. signals for a blocked reader"
( sleep 5; echo done ) | sh -c '
  trap "echo \"   a handler ran\"" USR1
  ( for i in 1 2 3; do sleep 1; kill -USR1 $$; done ) &
  until read line; do :; done
  echo "   read: $line"
'
echo "3. over; q leaves"
