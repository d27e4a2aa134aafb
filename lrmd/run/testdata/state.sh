#!/bin/sh
# Prints what execution 2.2 says about a child.
set -- $(cat /proc/$$/stat)
echo "pid $1 pgrp $5"
echo "stdin $(readlink /proc/$$/fd/0)"
echo fds: # 3 is the folder that ls reads
ls /proc/self/fd
exec grep -E "^Sig(Blk|Ign)" /proc/self/status # not of the shell, which blocks while it forks
