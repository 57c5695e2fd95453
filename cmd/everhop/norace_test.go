//go:build !race

package main

// stride is how many bytes a test of every byte goes on by.
const stride = 1
