// Command argo-sync compares the manifests of a folder with the cluster, and syncs them, as Argo CD does for an
// application with automated sync, once or in a loop.
//
// It is the comparison and the sync of Argo CD's application controller on Argo CD's own library: the live objects come
// from its watched cache, the difference from its diff, and an application that is OutOfSync is synced. It runs no hooks,
// and prunes only if that is enabled.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/cache"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync/common"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/tracing"
	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"engines/rounds"
)

// manager owns the fields that Argo CD applies server side.
const manager = "argocd-controller"

// The sync status of an object.
const (
	synced    = "Synced"
	outOfSync = "OutOfSync"
)

// object is what a round found and did.
type object struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Sync is the status before this round's sync.
	Sync string `json:"sync"`
	// Difference is the merge patch from the live object to the one that is predicted for a sync.
	Difference json.RawMessage `json:"difference,omitempty"`
	// Result is what the sync did, if it included the object.
	Result  common.ResultCode `json:"result,omitempty"`
	Message string            `json:"message,omitempty"`
}

// engine syncs one application.
type engine struct {
	options *rounds.Options
	config  *rest.Config
	cache   cache.ClusterCache
	kubectl kube.Kubectl
	// The namespace of objects that name none.
	namespace string
	tracking  tracking

	compareOnly     bool
	selfHeal        bool
	prune           bool
	serverSideApply bool
	serverSideDiff  bool
	// The revision of the last sync.
	syncedRevision string
}

func main() {
	engine := &engine{options: rounds.Flags()}
	flag.StringVar(&engine.tracking.application, "application", "records", "the name of the application")
	flag.StringVar(&engine.tracking.method, "tracking", annotation, "how objects are tracked: annotation, label or annotation+label")
	flag.BoolVar(&engine.compareOnly, "compare-only", false, "report the sync status, and never sync")
	flag.BoolVar(&engine.selfHeal, "self-heal", false, "sync an OutOfSync application also when its manifests are those of the last sync")
	flag.BoolVar(&engine.prune, "prune", false, "delete the objects of the application that are no longer in the folder")
	flag.BoolVar(&engine.serverSideApply, "server-side", false, "sync with the option ServerSideApply=true")
	flag.BoolVar(&engine.serverSideDiff, "server-side-diff", false, "compare by a server-side dry run")
	flag.Parse()
	klog.SetLogger(logr.Discard())
	rounds.Exit(engine.run())
}

func (engine *engine) run() (err error) {
	if err := engine.tracking.validate(); err != nil {
		return err
	}
	if engine.config, engine.namespace, err = engine.options.Cluster(); err != nil {
		return err
	}
	engine.kubectl = &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}
	watched := cache.NewClusterCache(engine.config,
		cache.SetKubectl(engine.kubectl),
		cache.SetLogr(logr.Discard()),
		cache.SetNamespaces([]string{engine.namespace}),
		cache.SetPopulateResourceInfoHandler(func(live *unstructured.Unstructured, _ bool) (any, bool) {
			isOurs := engine.tracking.tracks(live)
			return isOurs, isOurs
		}),
	)
	if err := watched.EnsureSynced(); err != nil {
		return err
	}
	defer watched.Invalidate()
	engine.cache = watched
	return rounds.Run(engine.options, engine.round)
}

// round compares the manifests as they are now, and syncs them as automated sync would.
func (engine *engine) round(ctx context.Context) ([]object, error) {
	target, revision, err := engine.target()
	if err != nil {
		return nil, err
	}
	isOurs := func(live *cache.Resource) bool {
		tracked, ok := live.Info.(bool)
		return ok && tracked
	}
	managed, err := engine.cache.GetManagedLiveObjs(target, isOurs)
	if err != nil {
		return nil, err
	}
	pairs := sync.Reconcile(target, managed, engine.namespace, engine.cache)
	differences, err := engine.compare(pairs)
	if err != nil {
		return nil, err
	}
	objects := compared(pairs, differences)
	isSynced := !slices.ContainsFunc(objects, func(object object) bool { return object.Sync == outOfSync })
	isHealing := revision == engine.syncedRevision
	if isSynced || engine.compareOnly || isHealing && !engine.selfHeal {
		return objects, nil
	}
	results, err := engine.sync(ctx, revision, pairs, objects, isHealing)
	for _, result := range results {
		if at := slices.IndexFunc(objects, func(object object) bool { return object.is(result.ResourceKey) }); at >= 0 {
			objects[at].Result, objects[at].Message = result.Status, result.Message
		}
	}
	if err == nil {
		engine.syncedRevision = revision
	}
	return objects, err
}

// target returns the objects of the manifests, tracked, and the revision that they are of.
func (engine *engine) target() ([]*unstructured.Unstructured, string, error) {
	manifests, err := engine.options.Manifests()
	if err != nil {
		return nil, "", err
	}
	revision := sha256.New()
	var target []*unstructured.Unstructured
	for _, manifest := range manifests {
		revision.Write(manifest)
		objects, err := kube.SplitYAML(manifest)
		if err != nil {
			return nil, "", err
		}
		target = append(target, objects...)
	}
	for _, object := range target {
		if kube.IsNamespacedOrUnknown(engine.cache, object.GroupVersionKind().GroupKind()) && object.GetNamespace() == "" {
			object.SetNamespace(engine.namespace)
		}
		engine.tracking.track(object)
	}
	return target, hex.EncodeToString(revision.Sum(nil)), nil
}

func (engine *engine) compare(pairs sync.ReconciliationResult) (*diff.DiffResultList, error) {
	options := []diff.Option{
		diff.WithLogr(logr.Discard()),
		diff.WithNormalizer(withoutStatus{}),
		diff.WithGVKParser(engine.cache.GetGVKParser()),
		diff.WithManager(manager),
		// What Argo CD compares by for an application with the option ServerSideApply=true.
		diff.WithStructuredMergeDiff(engine.serverSideApply),
		diff.WithServerSideDiff(engine.serverSideDiff),
	}
	if engine.serverSideDiff {
		applier, cleanup, err := engine.kubectl.ManageServerSideDiffDryRuns(engine.config)
		if err != nil {
			return nil, err
		}
		defer cleanup()
		options = append(options, diff.WithServerSideDryRunner(diff.NewK8sServerSideDryRunner(applier)))
	}
	return diff.DiffArray(pairs.Target, pairs.Live, options...)
}

// sync runs a sync operation to its end. One that heals includes only the objects that are OutOfSync.
func (engine *engine) sync(
	ctx context.Context, revision string, pairs sync.ReconciliationResult, objects []object, isHealing bool,
) ([]common.ResourceSyncResult, error) {
	isIncluded := func(key kube.ResourceKey, _, _ *unstructured.Unstructured) bool {
		return !isHealing || slices.ContainsFunc(objects, func(object object) bool {
			return object.is(key) && object.Sync == outOfSync
		})
	}
	operation, cleanup, err := sync.NewSyncContext(revision, pairs, engine.config, engine.config, engine.kubectl, engine.namespace,
		sync.WithLogr(logr.Discard()),
		sync.WithResourcesFilter(isIncluded),
		sync.WithSkipHooks(true),
		sync.WithPrune(engine.prune),
		sync.WithServerSideApply(engine.serverSideApply),
		sync.WithServerSideApplyManager(manager),
	)
	if err != nil {
		return nil, err
	}
	defer cleanup()
	for {
		operation.Sync()
		phase, message, results := operation.GetState()
		switch {
		case phase.Successful():
			return results, nil
		case phase.Completed():
			return results, fmt.Errorf("the sync ended with %s: %s", phase, message)
		}
		select {
		case <-ctx.Done():
			operation.Terminate()
			return results, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func compared(pairs sync.ReconciliationResult, differences *diff.DiffResultList) []object {
	var objects []object
	for at, difference := range differences.Diffs {
		of := pairs.Target[at]
		// One that is no longer in the folder waits to be pruned.
		isExtra := of == nil
		if isExtra {
			of = pairs.Live[at]
		}
		object := object{Kind: of.GetKind(), Namespace: of.GetNamespace(), Name: of.GetName(), Sync: synced}
		if difference.Modified || isExtra {
			object.Sync = outOfSync
			if of.GetKind() != "Secret" {
				// Without a patch where there is nothing to compare with: at creation and deletion.
				object.Difference, _ = jsonpatch.CreateMergePatch(difference.NormalizedLive, difference.PredictedLive)
			}
		}
		objects = append(objects, object)
	}
	return objects
}

func (object *object) is(key kube.ResourceKey) bool {
	return object.Kind == key.Kind && object.Namespace == key.Namespace && object.Name == key.Name
}

// withoutStatus leaves the status out of the comparison, which is Argo CD's default.
type withoutStatus struct{}

func (withoutStatus) Normalize(object *unstructured.Unstructured) error {
	unstructured.RemoveNestedField(object.Object, "status")
	return nil
}
