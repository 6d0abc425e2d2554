// SPDX-License-Identifier: Apache-2.0

// https URL: Go's net/http, which finds proxy and certificates in the environment. Prints HTTP version and body.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	response, err := http.Get(os.Args[1])
	if err == nil {
		var body []byte
		if body, err = io.ReadAll(response.Body); err == nil {
			fmt.Println(response.Proto, string(body))
			return
		}
	}
	fmt.Println("failed", err)
	os.Exit(1)
}
