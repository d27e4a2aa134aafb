#!/bin/sh
# Prints what execution 2.2 says about a child.
set -- $(cat /proc/$$/stat)
echo "pid $1 pgrp $5"
echo "stdin $(readlink /proc/$$/fd/0)"
echo "fds $(ls /proc/$$/fd | grep -v '^1[0-9]$\|^255$' | tr '\n' ' ')"
grep -E '^Sig(Blk|Ign)' /proc/$$/status
