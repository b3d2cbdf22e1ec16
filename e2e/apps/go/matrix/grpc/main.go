// SPDX-License-Identifier: Apache-2.0

// A server and a client of google.golang.org/grpc, without generated code.
//
//	grpc serve PORT [sizes]
//	grpc call PORT unary|stream COUNT    begins once a line came on standard input
//	grpc call PORT sizes                 the same
//
// The client makes COUNT calls, and the last one fails. The first names a trace. With `sizes`, messages are of many
// lengths, and each end says how much it sent and received in each call.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	bad   = "nothing"
	first = "1"

	// traceparent is what the first call says of its trace.
	traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
)

// about is the context of the call for an item.
func about(item string) context.Context {
	ctx := context.Background()
	if item == first {
		ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", traceparent)
	}
	return ctx
}

var service = grpc.ServiceDesc{
	ServiceName: "shop.Stock",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Count", Handler: count}},
	Streams: []grpc.StreamDesc{
		{StreamName: "Watch", Handler: watch, ServerStreams: true, ClientStreams: true},
	},
}

// count answers with what it was asked.
func count(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	item := new(wrapperspb.StringValue)
	if err := decode(item); err != nil {
		return nil, err
	}
	if item.Value == bad {
		return nil, status.Error(codes.NotFound, "no such item")
	}
	return item, nil
}

// watch answers each message until there are no more.
func watch(_ any, stream grpc.ServerStream) error {
	for {
		item := new(wrapperspb.StringValue)
		if err := stream.RecvMsg(item); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if item.Value == bad {
			return status.Error(codes.NotFound, "no such item")
		}
		if err := stream.SendMsg(item); err != nil {
			return err
		}
	}
}

func unary(connection *grpc.ClientConn, item string) error {
	answer := new(wrapperspb.StringValue)
	return connection.Invoke(about(item), "/shop.Stock/Count", wrapperspb.String(item), answer)
}

// stream sends three messages and takes three answers.
func stream(connection *grpc.ClientConn, item string) error {
	talk, err := connection.NewStream(about(item), &service.Streams[0], "/shop.Stock/Watch")
	if err != nil {
		return err
	}
	for i := 0; i < 3; i++ {
		if err := talk.SendMsg(wrapperspb.String(item)); err != nil && err != io.EOF {
			return err
		}
		if err := talk.RecvMsg(new(wrapperspb.StringValue)); err != nil {
			return err
		}
	}
	if err := talk.CloseSend(); err != nil {
		return err
	}
	if err := talk.RecvMsg(new(wrapperspb.StringValue)); err != io.EOF {
		return fmt.Errorf("after the end: %v", err)
	}
	return nil
}

func serve(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	var options []grpc.ServerOption
	if len(os.Args) > 3 {
		options = append(options, grpc.StatsHandler(scale{}))
	}
	server := grpc.NewServer(options...)
	server.RegisterService(&service, nil)
	return server.Serve(listener)
}

func call(address, kind string, count int) error {
	options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if kind == "sizes" {
		options = append(options, grpc.WithStatsHandler(scale{}))
	}
	connection, err := grpc.Dial(address, options...)
	if err != nil {
		return err
	}
	defer connection.Close()
	if kind == "sizes" {
		return sizes(connection)
	}
	act := unary
	if kind == "stream" {
		act = stream
	}
	for i := 1; i < count; i++ {
		if err := act(connection, strconv.Itoa(i)); err != nil {
			return err
		}
	}
	if err := act(connection, bad); status.Code(err) != codes.NotFound {
		return fmt.Errorf("the last call: %v", err)
	}
	return nil
}

func main() {
	if len(os.Args) < 3 {
		os.Exit(2)
	}
	address := "127.0.0.1:" + os.Args[2]
	if os.Args[1] == "serve" {
		log.Fatal(serve(address))
	}
	count, err := 0, error(nil)
	if len(os.Args) > 4 {
		count, err = strconv.Atoi(os.Args[4])
	}
	if err == nil {
		_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	}
	if err == nil {
		err = call(address, os.Args[3], count)
	}
	if err != nil {
		log.Fatal(err)
	}
}
