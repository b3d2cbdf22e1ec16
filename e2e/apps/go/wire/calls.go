// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// echo answers each message of any method with what was heard, and what else arrived.
func echo(_ any, stream grpc.ServerStream) error {
	fields, _ := metadata.FromIncomingContext(stream.Context())
	for {
		message := new(wrapperspb.BytesValue)
		if err := stream.RecvMsg(message); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		heard := strings.Join(fields["traceparent"], ",")
		rest := fmt.Sprintf("%x %v", sha256.Sum256(message.Value), fields["x-pad"])
		if err := stream.SendMsg(wrapperspb.String(heard + "\n" + rest)); err != nil {
			return err
		}
	}
}

func serveCalls(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return grpc.NewServer(grpc.UnknownServiceHandler(echo)).Serve(listener)
}

// caller makes calls on one connection.
type caller struct {
	connection *grpc.ClientConn
}

// call makes a call and prints what was heard.
func (c *caller) call(method, expected string, size, padding int, more ...string) {
	method = "/wire.Echo/" + method
	pad := strings.Repeat("p", padding)
	ctx := metadata.AppendToOutgoingContext(context.Background(), append(more, "x-pad", pad)...)
	content, answer := []byte(strings.Repeat("c", size)), new(wrapperspb.StringValue)
	if err := c.connection.Invoke(ctx, method, wrapperspb.Bytes(content), answer); err != nil {
		log.Fatal(method, ": ", err)
	}
	heard, rest, _ := strings.Cut(answer.Value, "\n")
	if want := fmt.Sprintf("%x [%s]", sha256.Sum256(content), pad); rest != want {
		log.Fatalf("%s: %.200s arrived, not %.200s", method, rest, want)
	}
	fmt.Println(method, expected, heard)
}

// talk sends many messages on one stream.
func (c *caller) talk(method string) {
	method = "/wire.Echo/" + method
	both := grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	stream, err := c.connection.NewStream(context.Background(), &both, method)
	heard := ""
	for i := 0; i < 20 && err == nil; i++ {
		answer := new(wrapperspb.StringValue)
		if err = stream.SendMsg(wrapperspb.Bytes(make([]byte, 1000*i))); err == nil {
			err = stream.RecvMsg(answer)
		}
		heard, _, _ = strings.Cut(answer.Value, "\n")
	}
	if err == nil {
		err = stream.CloseSend()
	}
	if err == nil && stream.RecvMsg(new(wrapperspb.StringValue)) != io.EOF {
		err = fmt.Errorf("no end")
	}
	if err != nil {
		log.Fatal(method, ": ", err)
	}
	fmt.Println(method, place, heard)
}

func call(address string, count int) {
	connection, err := grpc.Dial(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	c := caller{connection}
	c.call("first", place, 0, 0)
	c.call("second", place, 10, 10)
	c.call("long", place, 1_000_000, 0)
	c.call("head", place, 10, 10_000)
	c.talk("talk")
	// More than one frame.
	c.call("frames", unsure, 10, 60_000)
	c.call("frame", place, 10, 0)
	crowd(count, func(i, j int) {
		c.call(fmt.Sprint("many-", i, "-", j), place, 10*i*j, 50*i*j)
	})
	for i := 0; i < 3; i++ {
		c.call(fmt.Sprint("own-", i), own, 10, 10, "traceparent", said)
		c.call(fmt.Sprint("after-", i), unsure, 10, 10)
	}
}
