// The marks by which Argo CD finds the objects of an application: an annotation, a label, or both.

package main

import (
	"fmt"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The methods of tracking, by their names in argocd-cm.
const (
	annotation         = "annotation"
	label              = "label"
	annotationAndLabel = "annotation+label"
)

const (
	trackingAnnotation = "argocd.argoproj.io/tracking-id"
	instanceLabel      = "app.kubernetes.io/instance"
)

type tracking struct {
	application, method string
}

func (tracking *tracking) validate() error {
	switch tracking.method {
	case annotation, label, annotationAndLabel:
		return nil
	}
	return fmt.Errorf("--tracking %s: use annotation, label or annotation+label", tracking.method)
}

// track marks an object of the manifests as the application's.
func (tracking *tracking) track(object *unstructured.Unstructured) {
	if tracking.method != label {
		object.SetAnnotations(with(object.GetAnnotations(), trackingAnnotation, tracking.id(object)))
	}
	if tracking.method != annotation {
		object.SetLabels(with(object.GetLabels(), instanceLabel, tracking.application))
	}
}

// tracks returns true if a live object is marked as the application's.
func (tracking *tracking) tracks(live *unstructured.Unstructured) bool {
	if tracking.method == label {
		return live.GetLabels()[instanceLabel] == tracking.application
	}
	return strings.HasPrefix(live.GetAnnotations()[trackingAnnotation], tracking.application+":")
}

func (tracking *tracking) id(object *unstructured.Unstructured) string {
	group, kind := object.GroupVersionKind().Group, object.GetKind()
	return fmt.Sprintf("%s:%s/%s:%s/%s", tracking.application, group, kind, object.GetNamespace(), object.GetName())
}

func with(marks map[string]string, key, value string) map[string]string {
	marks = maps.Clone(marks)
	if marks == nil {
		marks = map[string]string{}
	}
	marks[key] = value
	return marks
}
