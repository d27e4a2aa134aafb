package main

// registry maps every name that the program answers to. Keep it sorted.
var registry = map[string]Tool{}
