#!/bin/sh
# Leaves a process behind that ends soon, and prints its pid.
(sleep 0.05 & echo $!)
