// The nats.go client against a server: one check after the other, `ok NAME` for each on stdout.
// The driver (tests/tests/foreign_clients.rs) restarts the server on `want restart` and sends it into lame duck
// mode on `want lame_duck`.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const patience = 20 * time.Second

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func ensure(condition bool, format string, args ...any) {
	if !condition {
		panic(fmt.Sprintf(format, args...))
	}
}

func connect(url string, options ...nats.Option) *nats.Conn {
	options = append(options, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	return must(nats.Connect(url, options...))
}

func wait(what string, signal <-chan struct{}) {
	select {
	case <-signal:
	case <-time.After(patience):
		panic("nothing came: " + what)
	}
}

func pubsub(url string) {
	publisher, receiver := connect(url), connect(url)
	defer publisher.Close()
	defer receiver.Close()
	sub := must(receiver.SubscribeSync("orders.*"))
	check(receiver.Flush())
	for i := 0; i < 1000; i++ {
		check(publisher.Publish("orders.eu", []byte(fmt.Sprint(i))))
	}
	for i := 0; i < 1000; i++ {
		msg := must(sub.NextMsg(patience))
		ensure(string(msg.Data) == fmt.Sprint(i), "message %d is %q", i, msg.Data)
	}
}

func request(url string) {
	requester, service := connect(url), connect(url)
	defer requester.Close()
	defer service.Close()
	must(service.Subscribe("echo", func(msg *nats.Msg) { check(msg.Respond(append([]byte("re:"), msg.Data...))) }))
	check(service.Flush())
	for i := 0; i < 100; i++ {
		msg := must(requester.Request("echo", []byte(fmt.Sprint(i)), patience))
		ensure(string(msg.Data) == fmt.Sprintf("re:%d", i), "answer %d is %q", i, msg.Data)
	}
}

func queue(url string) {
	const total = 300
	var counts [3]atomic.Int64
	done := make(chan struct{}, total)
	for member := range counts {
		client := connect(url)
		defer client.Close()
		must(client.QueueSubscribe("jobs", "workers", func(*nats.Msg) {
			counts[member].Add(1)
			done <- struct{}{}
		}))
		check(client.Flush())
	}
	publisher := connect(url)
	defer publisher.Close()
	for i := 0; i < total; i++ {
		check(publisher.Publish("jobs", nil))
	}
	for i := 0; i < total; i++ {
		wait("job", done)
	}
	for member := range counts {
		ensure(counts[member].Load() > 0, "member %d got nothing", member)
	}
}

func headers(url string) {
	client := connect(url)
	defer client.Close()
	sub := must(client.SubscribeSync("with.headers"))
	msg := nats.NewMsg("with.headers")
	msg.Header.Add("Trace", "1")
	msg.Header.Add("Trace", "2")
	msg.Data = []byte("body")
	check(client.PublishMsg(msg))
	got := must(sub.NextMsg(patience))
	ensure(fmt.Sprint(got.Header) == fmt.Sprint(msg.Header), "headers are %v", got.Header)
	ensure(string(got.Data) == "body", "body is %q", got.Data)
}

func noResponders(url string) {
	client := connect(url)
	defer client.Close()
	_, err := client.Request("nobody.home", nil, patience)
	ensure(errors.Is(err, nats.ErrNoResponders), "error is %v", err)
}

func drain(url string) {
	closed := make(chan struct{})
	receiver := connect(url, nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	publisher := connect(url)
	defer publisher.Close()
	var count atomic.Int64
	end := make(chan struct{})
	must(receiver.Subscribe("flow", func(*nats.Msg) { count.Add(1) }))
	must(receiver.Subscribe("end", func(*nats.Msg) { close(end) }))
	check(receiver.Flush())
	for i := 0; i < 500; i++ {
		check(publisher.Publish("flow", nil))
	}
	check(publisher.Publish("end", nil))
	wait("the last message", end)
	check(receiver.Drain())
	wait("the end of draining", closed)
	ensure(count.Load() == 500, "%d of 500 messages", count.Load())
}

func large(url string) {
	publisher, receiver := connect(url), connect(url)
	defer publisher.Close()
	defer receiver.Close()
	sub := must(receiver.SubscribeSync("large"))
	check(receiver.Flush())
	ensure(publisher.MaxPayload() == 1<<20, "max_payload is %d", publisher.MaxPayload())
	for _, size := range []int{1 << 20, 0, 1, 65535, 65536, 65537} {
		data := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		check(publisher.Publish("large", data))
		ensure(bytes.Equal(must(sub.NextMsg(patience)).Data, data), "a payload of %d bytes was harmed", size)
	}
	err := publisher.Publish("large", make([]byte, 1<<20+1))
	ensure(errors.Is(err, nats.ErrMaxPayload), "error is %v", err)
}

func reconnect(url string) {
	back := make(chan struct{}, 8)
	client := connect(url, nats.ReconnectHandler(func(*nats.Conn) { back <- struct{}{} }))
	defer client.Close()
	sub := must(client.SubscribeSync("news"))
	check(client.Flush())
	fmt.Println("want restart")
	wait("reconnect", back)
	check(client.Publish("news", []byte("after")))
	ensure(string(must(sub.NextMsg(patience)).Data) == "after", "another message")
}

func lameDuck(url string) {
	told, gone := make(chan struct{}), make(chan struct{})
	client := must(nats.Connect(url, nats.NoReconnect(),
		nats.LameDuckModeHandler(func(*nats.Conn) { close(told) }),
		nats.ClosedHandler(func(*nats.Conn) { close(gone) })))
	check(client.Flush())
	fmt.Println("want lame_duck")
	wait("lame duck INFO", told)
	wait("the end of the connection", gone)
}

func main() {
	url := os.Args[1]
	checks := []struct {
		name string
		run  func(string)
	}{
		{"pubsub", pubsub}, {"request", request}, {"queue", queue}, {"headers", headers},
		{"no_responders", noResponders}, {"drain", drain}, {"large", large},
		{"reconnect", reconnect}, {"lame_duck", lameDuck},
	}
	for _, check := range checks {
		check.run(url)
		fmt.Println("ok", check.name)
	}
}
