package service

import (
	"net"
	"net/http"
)

// Web serves a folder's files on the loopback interface until stop is called; host is its address.
func Web(folder string) (host string, stop func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(folder))}
	go server.Serve(l)
	return l.Addr().String(), server.Close, nil
}
