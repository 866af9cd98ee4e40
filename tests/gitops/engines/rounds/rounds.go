// Package rounds runs a GitOps engine once or in a loop, and reports each round as one line of JSON.
package rounds

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Options are the flags that all engines have.
type Options struct {
	Folder     string
	Kubeconfig string
	Interval   time.Duration
	Report     string
}

// Flags registers the flags that all engines have.
func Flags() *Options {
	options := &Options{}
	flag.StringVar(&options.Folder, "folder", "", "the folder with the manifests (required)")
	flag.StringVar(&options.Kubeconfig, "kubeconfig", "", "the cluster, and the namespace of objects that name none (default: KUBECONFIG)")
	flag.DurationVar(&options.Interval, "interval", 0, "the time from the start of a round to the start of the next (0: one round)")
	flag.StringVar(&options.Report, "report", "", "the file to append a line of JSON to for each round (default: standard output)")
	return options
}

// Cluster returns the configuration of the cluster's client, and the namespace of the current context.
func (options *Options) Cluster() (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = options.Kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{})
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, "", err
	}
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, "", err
	}
	// The limits of kustomize-controller and of Argo CD's application controller. The default of 5 requests a second
	// would slow the loop down.
	config.QPS, config.Burst = 50, 300
	return config, namespace, nil
}

// Manifests returns the contents of the folder's manifests, in the order of their paths.
func (options *Options) Manifests() ([][]byte, error) {
	var manifests [][]byte
	err := filepath.WalkDir(options.Folder, func(path string, entry os.DirEntry, err error) error {
		isManifest := slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path))
		if err != nil || entry.IsDir() || !isManifest {
			return err
		}
		manifest, err := os.ReadFile(path)
		manifests = append(manifests, manifest)
		return err
	})
	return manifests, err
}

// report is one line. O is an object as the engine reports it.
type report[O any] struct {
	Round   int    `json:"round"`
	Objects []O    `json:"objects"`
	Error   string `json:"error,omitempty"`
}

// Run plays one round without an interval, otherwise rounds until a signal ends the process. A round that fails is
// reported like any other; only a single round makes the program fail.
func Run[O any](options *Options, round func(context.Context) ([]O, error)) error {
	if options.Folder == "" || flag.NArg() > 0 {
		return errors.New("usage: name the folder with --folder, and no arguments; see --help")
	}
	output := io.Writer(os.Stdout)
	if options.Report != "" {
		file, err := os.OpenFile(options.Report, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer file.Close()
		output = file
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	for number := 1; ; number++ {
		started := time.Now()
		objects, failure := round(ctx)
		if ctx.Err() != nil {
			return nil
		}
		line := report[O]{Round: number, Objects: append([]O{}, objects...)}
		if failure != nil {
			line.Error = failure.Error()
		}
		if err := json.NewEncoder(output).Encode(line); err != nil {
			return fmt.Errorf("writing the report of round %d: %w", number, err)
		}
		if options.Interval == 0 {
			return failure
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(options.Interval - time.Since(started)):
		}
	}
}

// Exit ends the program: with a message when there is an error.
func Exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
