// Package client asks etcd, by the JSON form of its API: programs that controllers
// carry need no more of it than a few questions.
//
// Whatever is asked takes a majority of etcd's members; where there is none, the
// answer is an error and never an old state of things.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// requestTime bounds one request.
const requestTime = 3 * time.Second

// Client is etcd as a program sees it.
//
// Source: etcd's documentation, "gRPC gateway".
type Client struct {
	// Endpoints are URLs of members, asked in this order.
	Endpoints []string
	HTTP      *http.Client
}

// New returns a client that shows the certificate in leaf, and believes the
// authorities in ca. Both are read again for each connection.
func New(endpoints []string, leaf, ca string) (Client, error) {
	if _, err := Roots(ca); err != nil {
		return Client{}, err
	}
	return Client{Endpoints: endpoints, HTTP: &http.Client{
		Timeout: requestTime,
		Transport: &http.Transport{DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			pair, err := tls.LoadX509KeyPair(leaf, leaf)
			if err != nil {
				return nil, err
			}
			roots, err := Roots(ca)
			if err != nil {
				return nil, err
			}
			d := tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{pair}}}
			return d.DialContext(ctx, network, address)
		}},
	}}, nil
}

// Roots reads certificates of authorities.
func Roots(ca string) (*x509.CertPool, error) {
	text, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("there is no certificate in %s", ca)
	}
	return roots, nil
}

// Pair is a key and its value, both as etcd's JSON has them.
type Pair struct {
	Key     []byte `json:"key"`
	Value   []byte `json:"value,omitempty"`
	LeaseID string `json:"lease,omitempty"`
}

// PrefixEnd is the first key behind all that begin with the prefix.
func PrefixEnd(prefix string) []byte {
	end := []byte(prefix)
	end[len(end)-1]++
	return end
}

// Grant returns a lease that lasts for so many whole seconds.
func (c Client) Grant(ctx context.Context, ttl time.Duration) (id string, err error) {
	var lease struct {
		ID string `json:"ID"`
	}
	err = c.Call(ctx, "lease/grant", map[string]int64{"TTL": int64(ttl / time.Second)}, &lease)
	return lease.ID, err
}

// Take puts a pair where there is none of that key. It returns the value that is
// there.
func (c Client) Take(ctx context.Context, p Pair) (value string, err error) {
	var answer struct {
		Succeeded bool `json:"succeeded"`
		Responses []struct {
			Range struct {
				KVs []Pair `json:"kvs"`
			} `json:"response_range"`
		} `json:"responses"`
	}
	txn := map[string]any{
		"compare": []any{map[string]any{"key": p.Key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}},
		"success": []any{map[string]any{"request_put": p}},
		"failure": []any{map[string]any{"request_range": Pair{Key: p.Key}}},
	}
	if err := c.Call(ctx, "kv/txn", txn, &answer); err != nil {
		return "", err
	}
	if answer.Succeeded {
		return string(p.Value), nil
	}
	if len(answer.Responses) != 1 || len(answer.Responses[0].Range.KVs) != 1 {
		return "", fmt.Errorf("etcd does not say what is at %s", p.Key)
	}
	return string(answer.Responses[0].Range.KVs[0].Value), nil
}

// Call asks one member after the other.
func (c Client) Call(ctx context.Context, method string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	var errs []error
	for _, endpoint := range c.Endpoints {
		err := c.ask(ctx, endpoint+"/v3/"+method, body, answer)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("cannot ask etcd: %w", errors.Join(errs...))
}

// longestAnswer is far beyond what three reports take, in bytes.
const longestAnswer = 1 << 20

func (c Client) ask(ctx context.Context, url string, body []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, longestAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %.200s", url, resp.Status, text)
	}
	return json.Unmarshal(text, answer)
}
