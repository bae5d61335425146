// Go's own client, as it is out of the box: a body whose length it knows, then one that it sends in chunks.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	url, body := os.Args[1], os.Args[2]
	known := strings.NewReader(body)
	unknown := io.MultiReader(strings.NewReader(body))
	for _, reader := range []io.Reader{known, unknown} {
		response, err := http.Post(url, "application/json", reader)
		if err != nil {
			panic(err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil {
			panic(err)
		}
		response.Body.Close()
		fmt.Println(strings.TrimSpace(string(text)))
		fmt.Println(response.StatusCode)
	}
}
