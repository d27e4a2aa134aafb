package main

func reference(o options, n int) error { return nil }
