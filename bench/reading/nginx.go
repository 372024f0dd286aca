package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// nginx is a server of a folder's files, as Debian sets it up where it matters here: sendfile, and a worker a processor.
type nginx struct {
	address string
	folder  string
	cmd     *exec.Cmd
}

const nginxConf = `user root; daemon off; worker_processes auto; pid %[1]s/nginx.pid; error_log stderr crit;
events { worker_connections 768; }
http {
  sendfile on; tcp_nopush on; access_log off; default_type application/octet-stream;
  client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  server { listen %[2]s; root %[3]s; }
}
`

func startNginx(ctx context.Context, folder string) (*nginx, error) {
	tool, err := exec.LookPath("/usr/sbin/nginx")
	if err != nil {
		return nil, fmt.Errorf("apt-get install nginx-light: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &nginx{address: l.Addr().String(), folder: filepath.Join(folder, "nginx")}
	l.Close()
	if err := os.MkdirAll(n.folder, 0o755); err != nil {
		return nil, err
	}
	conf := filepath.Join(n.folder, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, n.folder, n.address, folder), 0o644); err != nil {
		return nil, err
	}
	n.cmd = exec.CommandContext(ctx, tool, "-c", conf)
	n.cmd.Stderr = os.Stderr
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	for begun := time.Now(); time.Since(begun) < 10*time.Second; time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get("http://" + n.address + "/"); err == nil {
			resp.Body.Close()
			return n, nil
		}
	}
	n.stop()
	return nil, fmt.Errorf("nginx does not answer")
}

func (n *nginx) url(path string) string { return "http://" + n.address + "/" + filepath.Base(path) }

func (n *nginx) stop() {
	n.cmd.Process.Signal(os.Interrupt) // to the master, which ends its workers
	n.cmd.Wait()
	os.RemoveAll(n.folder)
}
