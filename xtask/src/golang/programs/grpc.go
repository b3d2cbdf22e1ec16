// SPDX-License-Identifier: Apache-2.0

// Links in what probes know of google.golang.org/grpc.
package main

import (
	"context"
	"net"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

func main() {
	server := grpc.NewServer()
	listener, _ := net.Listen("tcp", "127.0.0.1:0")
	connection, err := grpc.Dial("127.0.0.1:1", grpc.WithInsecure())
	if err == nil {
		err = connection.Invoke(context.Background(), "/a/B", nil, nil)
		stream, _ := connection.NewStream(context.Background(), &grpc.StreamDesc{}, "/a/B")
		stream.CloseSend()
	}
	println(status.Code(err).String(), server.Serve(listener), http.Serve(listener, server))
}
