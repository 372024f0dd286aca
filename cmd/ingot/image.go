package main

type imageCmd struct {
	Create registerCmd `cmd:"" help:"Register a snapshot or a backup for an account, as the operator."`
}
