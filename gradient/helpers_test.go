package gradient_test

import (
	"net/http"
	"testing"

	"ingot/gradient"
	"ingot/gradient/internal/gradienttest"
	"ingot/gradient/option"
)

const token = gradienttest.Token

var (
	answer = gradienttest.Answer
	cut    = gradienttest.Cut
	hangUp = gradienttest.HangUp
)

type service struct{ *gradienttest.Service }

func newService(t testing.TB) service { return service{gradienttest.New(t)} }

func (s service) client(opts ...option.RequestOption) gradient.Client {
	return gradient.NewClient(append(s.Options(), opts...)...)
}

type faulty struct{ *gradienttest.Faulty }

func newFaulty(t testing.TB, answers ...http.HandlerFunc) faulty {
	return faulty{gradienttest.NewFaulty(t, answers...)}
}

func (f faulty) client(opts ...option.RequestOption) gradient.Client {
	return gradient.NewClient(append(f.Options(), opts...)...)
}
