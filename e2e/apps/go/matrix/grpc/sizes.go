// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Calls of one message each way: how long it is. One is not answered.
var unaries = []struct {
	method string
	length int
	packed bool
}{{"Empty", 0, false}, {"Small", 5, false}, {"Large", 100_000, false}, {"Packed", 100_000, true}, {"Refused", -1, false}}

// Calls of many messages.
var streams = []struct {
	method  string
	lengths []int
}{{"Silent", nil}, {"Several", []int{1, 0, 70_000, 20}}}

func init() {
	for _, call := range unaries {
		service.Methods = append(service.Methods, grpc.MethodDesc{MethodName: call.method, Handler: twice})
	}
	for _, call := range streams {
		watching := service.Streams[0]
		watching.StreamName = call.method
		service.Streams = append(service.Streams, watching)
	}
}

// twice answers with what it was asked, two times.
func twice(service any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	item, err := count(service, ctx, decode, nil)
	if err != nil {
		return nil, err
	}
	return wrapperspb.String(strings.Repeat(item.(*wrapperspb.StringValue).Value, 2)), nil
}

// A scale weighs the messages of calls, as they are sent and received, and says it at the end of each.
type scale struct{}

type weight struct {
	method         string
	sent, received int
}

func (scale) TagRPC(ctx context.Context, call *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, scale{}, &weight{method: call.FullMethodName})
}

func (scale) HandleRPC(ctx context.Context, what stats.RPCStats) {
	weight := ctx.Value(scale{}).(*weight)
	switch what := what.(type) {
	case *stats.OutPayload:
		weight.sent += what.CompressedLength
	case *stats.InPayload:
		weight.received += what.CompressedLength
	case *stats.End:
		fmt.Println(os.Args[1], weight.method, weight.sent, weight.received)
	}
}

func (scale) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (scale) HandleConn(context.Context, stats.ConnStats) {}

// sizes makes calls with messages of many sizes.
func sizes(connection *grpc.ClientConn) error {
	for _, call := range unaries {
		item, want, options := bad, codes.NotFound, []grpc.CallOption(nil)
		if call.length >= 0 {
			item, want = strings.Repeat("x", call.length), codes.OK
		}
		if call.packed {
			options = append(options, grpc.UseCompressor(gzip.Name))
		}
		answer := new(wrapperspb.StringValue)
		err := connection.Invoke(context.Background(), "/shop.Stock/"+call.method, wrapperspb.String(item), answer, options...)
		if status.Code(err) != want {
			return fmt.Errorf("%s: %v", call.method, err)
		}
	}
	for _, call := range streams {
		if err := converse(connection, call.method, call.lengths); err != nil {
			return fmt.Errorf("%s: %v", call.method, err)
		}
	}
	return nil
}

// converse sends messages from a goroutine of its own, and takes as many.
func converse(connection *grpc.ClientConn, method string, lengths []int) error {
	talk, err := connection.NewStream(context.Background(), &service.Streams[0], "/shop.Stock/"+method)
	if err != nil {
		return err
	}
	sent := make(chan error)
	go func() {
		for _, length := range lengths {
			if err := talk.SendMsg(wrapperspb.String(strings.Repeat("x", length))); err != nil {
				sent <- err
				return
			}
		}
		sent <- talk.CloseSend()
	}()
	for range lengths {
		if err := talk.RecvMsg(new(wrapperspb.StringValue)); err != nil {
			return err
		}
	}
	if err := talk.RecvMsg(new(wrapperspb.StringValue)); err != io.EOF {
		return fmt.Errorf("after the end: %v", err)
	}
	return <-sent
}
