// Command flux-apply applies the manifests of a folder as Flux's kustomize-controller does, once or in a loop.
//
// It is that controller's apply step on Flux's own library: drift is detected by a server-side dry run, objects that
// differ are applied by force, kubectl's edits are undone, and each object gets the labels of its Kustomization. A loop
// can prune what an earlier round applied. It builds no overlays.
package main

import (
	"bytes"
	"context"
	"flag"
	"slices"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	"github.com/fluxcd/pkg/ssa/utils"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"engines/rounds"

	"github.com/go-logr/logr"
)

const (
	controller = "kustomize-controller"
	group      = "kustomize.toolkit.fluxcd.io"
)

// applied is what a round did to an object.
type applied struct {
	Kind      string     `json:"kind"`
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	Action    ssa.Action `json:"action"`
}

// engine applies the manifests of one Kustomization.
type engine struct {
	options *rounds.Options
	manager *ssa.ResourceManager
	// The Kustomization's name and namespace.
	name, namespace string
	// The namespace of objects that name none.
	target string
	// Whether objects that are no longer in the folder are deleted.
	prune bool
	// The objects of the last round, as the controller has them in the status of the Kustomization.
	inventory []*unstructured.Unstructured
}

func main() {
	options := rounds.Flags()
	name := flag.String("name", "records", "the name of the Kustomization, for the labels of the objects")
	namespace := flag.String("namespace", "flux-system", "the namespace of the Kustomization, for the labels of the objects")
	prune := flag.Bool("prune", false, "delete the objects of an earlier round that are no longer in the folder")
	flag.Parse()
	log.SetLogger(logr.Discard())
	rounds.Exit(run(options, *name, *namespace, *prune))
}

func run(options *rounds.Options, name, namespace string, prune bool) error {
	config, target, err := options.Cluster()
	if err != nil {
		return err
	}
	kube, err := client.New(config, client.Options{})
	if err != nil {
		return err
	}
	poller := polling.NewStatusPoller(kube, kube.RESTMapper(), polling.Options{})
	manager := ssa.NewResourceManager(kube, poller, ssa.Owner{Field: controller, Group: group})
	engine := &engine{options: options, manager: manager, name: name, namespace: namespace, target: target, prune: prune}
	return rounds.Run(options, engine.apply)
}

// apply applies the manifests as they are now, and returns what it did to each object.
func (engine *engine) apply(ctx context.Context) ([]applied, error) {
	objects, err := engine.objects()
	if err != nil {
		return nil, err
	}
	stale := engine.stale(objects)
	// After an error, the changes are those up to it.
	changes, err := engine.manager.ApplyAllStaged(ctx, objects, options())
	report := reported(changes)
	if err != nil || !engine.prune {
		return report, err
	}
	deleted, err := engine.manager.DeleteAll(ctx, stale, ssa.DeleteOptions{
		PropagationPolicy: metav1.DeletePropagationBackground,
		Inclusions:        engine.manager.GetOwnerLabels(engine.name, engine.namespace),
		Exclusions:        map[string]string{group + "/prune": "disabled", group + "/reconcile": "disabled"},
	})
	if err == nil {
		engine.inventory = objects
	}
	return append(report, reported(deleted)...), err
}

// stale returns the objects of the inventory that are not among these.
func (engine *engine) stale(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	var stale []*unstructured.Unstructured
	for _, former := range engine.inventory {
		id := object.UnstructuredToObjMetadata(former)
		isLeft := slices.ContainsFunc(objects, func(one *unstructured.Unstructured) bool {
			return object.UnstructuredToObjMetadata(one) == id
		})
		if !isLeft {
			stale = append(stale, former)
		}
	}
	return stale
}

func reported(changes *ssa.ChangeSet) []applied {
	var objects []applied
	if changes != nil {
		for _, change := range changes.Entries {
			id := change.ObjMetadata
			objects = append(objects, applied{id.GroupKind.Kind, id.Namespace, id.Name, change.Action})
		}
	}
	return objects
}

func (engine *engine) objects() ([]*unstructured.Unstructured, error) {
	manifests, err := engine.options.Manifests()
	if err != nil {
		return nil, err
	}
	var all []*unstructured.Unstructured
	for _, manifest := range manifests {
		objects, err := utils.ReadObjects(bytes.NewReader(manifest))
		if err != nil {
			return nil, err
		}
		all = append(all, objects...)
	}
	for _, object := range all {
		namespaced, err := engine.manager.Client().IsObjectNamespaced(object)
		if err != nil {
			return nil, err
		}
		if namespaced && object.GetNamespace() == "" {
			object.SetNamespace(engine.target)
		}
	}
	if err := normalize.UnstructuredList(all); err != nil {
		return nil, err
	}
	engine.manager.SetOwnerLabels(all, engine.name, engine.namespace)
	return all, nil
}

// options are those of kustomize-controller for a Kustomization without options of its own.
func options() ssa.ApplyOptions {
	options := ssa.DefaultApplyOptions()
	options.ExclusionSelector = map[string]string{group + "/reconcile": "disabled", group + "/ssa": "Ignore"}
	options.IfNotPresentSelector = map[string]string{group + "/ssa": "IfNotPresent"}
	options.ForceSelector = map[string]string{group + "/force": "enabled"}
	options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{corev1.LastAppliedConfigAnnotation},
		// The managers whose fields become Flux's own, so that what the manifests do not declare is removed.
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: controller, OperationType: metav1.ManagedFieldsOperationUpdate},
		},
		Exclusions: map[string]string{group + "/ssa": "Merge"},
	}
	return options
}
