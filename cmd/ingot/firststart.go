package main

import (
	"context"
	"os"
	"path/filepath"

	"ingot/internal/image"
)

// firstToken makes the first account and a token with every scope, and keeps it in the data directory. The file is
// written before the token is known to the catalogue and replaced whole, so that a crash between the two leaves a
// directory that the next start completes.
func (s *service) firstToken(ctx context.Context) error {
	accounts, err := s.catalog.Accounts(ctx)
	if err != nil {
		return err
	}
	if has, err := s.hasToken(ctx, accounts); err != nil || has {
		return err
	}
	account := image.Account{Name: "default", Email: "operator@localhost"}
	if len(accounts) == 0 {
		if account, err = s.catalog.CreateAccount(ctx, account); err != nil {
			if others, e := s.catalog.Accounts(ctx); e == nil && len(others) > 0 {
				return nil // another process starts at this moment, and was faster
			}
			return err
		}
	} else {
		account = accounts[0]
	}
	secret := newSecret()
	path := filepath.Join(s.cmd.Data, "token")
	if err := writeFileDurably(path, []byte(secret+"\n"), 0o600); err != nil {
		return err
	}
	if _, err := addToken(ctx, s.catalog, secret, image.Token{AccountID: account.ID, Name: "first start"}); err != nil {
		return err
	}
	s.log.Info("made the first account and its token", "account", account.Name, "token_file", path)
	return nil
}

// hasToken reports whether any account has one: then the first start was completed.
func (s *service) hasToken(ctx context.Context, accounts []image.Account) (bool, error) {
	for _, a := range accounts {
		if tokens, err := s.catalog.Tokens(ctx, a.ID); err != nil || len(tokens) > 0 {
			return err == nil, err
		}
	}
	return false, nil
}

// writeFileDurably replaces a file whole: after a crash it is the old one or the new one.
func writeFileDurably(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
