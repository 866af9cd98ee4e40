// The official client against the simulator: tests/simulator/tests/godo.rs runs this and starts a simulator with a fleet of
// 450 droplets over the demo's inventory, and passes its address.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/digitalocean/godo"
	"github.com/digitalocean/godo/util"
	"golang.org/x/oauth2"
)

const fleet = 450

var ctx = context.Background()

func simulator(t *testing.T) string {
	t.Helper()
	url := os.Getenv("SIMULATOR_URL")
	if url == "" {
		t.Skip("SIMULATOR_URL is not set: run cargo test -p digitalocean-simulator --test godo")
	}
	return url
}

func client(t *testing.T, token string, options ...godo.ClientOpt) *godo.Client {
	t.Helper()
	source := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})
	client, err := godo.New(oauth2.NewClient(ctx, source), append(options, godo.SetBaseURL(simulator(t)))...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func official(t *testing.T) *godo.Client {
	t.Helper()
	return client(t, os.Getenv("SIMULATOR_TOKEN"))
}

func must[T any](t *testing.T, what string) func(T, *godo.Response, error) T {
	return func(value T, _ *godo.Response, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return value
	}
}

// refused asserts that the client returned its typed error with this status, and returns it.
func refused(t *testing.T, what string, err error, status int) *godo.ErrorResponse {
	t.Helper()
	var response *godo.ErrorResponse
	if !errors.As(err, &response) {
		t.Fatalf("%s: want an ErrorResponse, got %v", what, err)
	}
	if response.Response.StatusCode != status {
		t.Fatalf("%s: want %d, got %d %s", what, status, response.Response.StatusCode, response.Message)
	}
	return response
}

func inject(t *testing.T, fault map[string]any) {
	t.Helper()
	body, _ := json.Marshal(fault)
	response, err := http.Post(simulator(t)+"/_simulator/faults", "application/json", bytes.NewReader(body))
	if err != nil || response.StatusCode != http.StatusNoContent {
		t.Fatalf("inject: %v %v", response, err)
	}
	response.Body.Close()
}

// completed polls an action as users of this client do.
func completed(t *testing.T, client *godo.Client, action *godo.Action) {
	t.Helper()
	for range 200 {
		now := must[*godo.Action](t, "poll")(client.Actions.Get(ctx, action.ID))
		switch now.Status {
		case godo.ActionCompleted:
			if now.CompletedAt == nil {
				t.Fatal("completed without completed_at")
			}
			return
		case "errored":
			t.Fatalf("action %s errored", action.Type)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("action %s is still in progress", action.Type)
}

func TestListsArePagedToTheEnd(t *testing.T) {
	client := official(t)
	seen := map[int]bool{}
	options := &godo.ListOptions{Page: 1, PerPage: 200}
	pages := 0
	for {
		droplets, response, err := client.Droplets.List(ctx, options)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, droplet := range droplets {
			seen[droplet.ID] = true
		}
		if response.Meta == nil || response.Meta.Total < fleet-1 {
			t.Fatalf("meta: %+v", response.Meta)
		}
		if response.Rate.Limit == 0 || response.Rate.Remaining == 0 || response.Rate.Reset.IsZero() {
			t.Fatalf("rate: %+v", response.Rate)
		}
		if response.Links == nil || response.Links.IsLastPage() {
			break
		}
		page, err := response.Links.CurrentPage()
		if err != nil {
			t.Fatal(err)
		}
		options.Page = page + 1
	}
	if pages != 3 || len(seen) < fleet-1 {
		t.Fatalf("%d droplets on %d pages", len(seen), pages)
	}
}

func TestADropletIsCreatedResizedSnapshottedTaggedAndDeleted(t *testing.T) {
	client := official(t)
	request := &godo.DropletCreateRequest{
		Name: "godo-1", Region: "nyc3", Size: "s-1vcpu-1gb", Image: godo.DropletCreateImage{Slug: "ubuntu-24-04-x64"},
		Tags: []string{"godo"}, Monitoring: true,
	}
	droplet, response, err := client.Droplets.Create(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	if droplet.Status != "new" || droplet.Locked || len(droplet.Networks.V4) != 0 || len(response.Links.Actions) != 1 {
		t.Fatalf("created: %+v", droplet)
	}
	if _, _, err := client.DropletActions.PowerOff(ctx, droplet.ID); refused(t, "busy", err, 422).Message != "Droplet already has a pending event." {
		t.Fatal(err)
	}
	if err := util.WaitForActive(ctx, client, response.Links.Actions[0].HREF); err != nil {
		t.Fatal(err)
	}
	droplet = must[*godo.Droplet](t, "get")(client.Droplets.Get(ctx, droplet.ID))
	if address, err := droplet.PublicIPv4(); err != nil || address == "" || droplet.Status != "active" || droplet.Locked {
		t.Fatalf("active: %+v", droplet)
	}

	_, _, err = client.DropletActions.Resize(ctx, droplet.ID, "s-2vcpu-4gb", true)
	refused(t, "resize while on", err, 422)
	completed(t, client, must[*godo.Action](t, "power off")(client.DropletActions.PowerOff(ctx, droplet.ID)))
	_, _, err = client.DropletActions.PowerOff(ctx, droplet.ID)
	refused(t, "power off twice", err, 422)
	completed(t, client, must[*godo.Action](t, "resize")(client.DropletActions.Resize(ctx, droplet.ID, "s-2vcpu-4gb", true)))
	droplet = must[*godo.Droplet](t, "get")(client.Droplets.Get(ctx, droplet.ID))
	if droplet.SizeSlug != "s-2vcpu-4gb" || droplet.Size.Slug != "s-2vcpu-4gb" || droplet.Memory != 4096 || droplet.Disk != 80 {
		t.Fatalf("resized: %+v", droplet)
	}
	_, _, err = client.DropletActions.Resize(ctx, droplet.ID, "s-1vcpu-1gb", false)
	refused(t, "resize to a smaller disk", err, 422)

	completed(t, client, must[*godo.Action](t, "snapshot")(client.DropletActions.Snapshot(ctx, droplet.ID, "before-upgrade")))
	snapshots := must[[]godo.Image](t, "snapshots")(client.Droplets.Snapshots(ctx, droplet.ID, nil))
	if len(snapshots) != 1 || snapshots[0].Name != "before-upgrade" || snapshots[0].MinDiskSize != 80 {
		t.Fatalf("snapshots: %+v", snapshots)
	}
	snapshot := must[*godo.Snapshot](t, "snapshot")(client.Snapshots.Get(ctx, strconv.Itoa(snapshots[0].ID)))
	if snapshot.ResourceID != strconv.Itoa(droplet.ID) || snapshot.ResourceType != "droplet" {
		t.Fatalf("snapshot: %+v", snapshot)
	}
	completed(t, client, must[*godo.Action](t, "restore")(client.DropletActions.Restore(ctx, droplet.ID, snapshots[0].ID)))

	resource := []godo.Resource{{ID: strconv.Itoa(droplet.ID), Type: godo.DropletResourceType}}
	must[*godo.Tag](t, "tag")(client.Tags.Create(ctx, &godo.TagCreateRequest{Name: "late"}))
	if _, err := client.Tags.TagResources(ctx, "late", &godo.TagResourcesRequest{Resources: resource}); err != nil {
		t.Fatal(err)
	}
	tagged := must[[]godo.Droplet](t, "by tag")(client.Droplets.ListByTag(ctx, "late", nil))
	if len(tagged) != 1 || tagged[0].ID != droplet.ID || fmt.Sprint(tagged[0].Tags) != "[godo late]" {
		t.Fatalf("tagged: %+v", tagged)
	}
	if tag := must[*godo.Tag](t, "tag")(client.Tags.Get(ctx, "late")); tag.Resources.Droplets.Count != 1 {
		t.Fatalf("tag: %+v", tag)
	}
	if _, err := client.Tags.UntagResources(ctx, "late", &godo.UntagResourcesRequest{Resources: resource}); err != nil {
		t.Fatal(err)
	}

	actions := must[[]godo.Action](t, "actions")(client.Droplets.Actions(ctx, droplet.ID, nil))
	if len(actions) != 5 || actions[0].Type != "restore" || actions[4].Type != "create" {
		t.Fatalf("actions: %+v", actions)
	}

	if _, err := client.Snapshots.Delete(ctx, snapshot.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Droplets.Delete(ctx, droplet.ID); err != nil {
		t.Fatal(err)
	}
	_, _, err = client.Droplets.Get(ctx, droplet.ID)
	refused(t, "get a deleted one", err, 404)
}

func TestAVolumeIsCreatedAttachedGrownAndDeleted(t *testing.T) {
	client := official(t)
	volume := must[*godo.Volume](t, "create")(client.Storage.CreateVolume(ctx, &godo.VolumeCreateRequest{
		Name: "godo", Region: "nyc3", SizeGigaBytes: 10, FilesystemType: "ext4",
	}))
	const web = 3164445
	completed(t, client, must[*godo.Action](t, "attach")(client.StorageActions.Attach(ctx, volume.ID, web)))
	volume = must[*godo.Volume](t, "get")(client.Storage.GetVolume(ctx, volume.ID))
	droplet := must[*godo.Droplet](t, "get")(client.Droplets.Get(ctx, web))
	if fmt.Sprint(volume.DropletIDs) != fmt.Sprint([]int{web}) || droplet.VolumeIDs[len(droplet.VolumeIDs)-1] != volume.ID {
		t.Fatalf("attached: %+v", volume)
	}
	_, err := client.Storage.DeleteVolume(ctx, volume.ID)
	refused(t, "delete an attached one", err, 409)
	completed(t, client, must[*godo.Action](t, "grow")(client.StorageActions.Resize(ctx, volume.ID, 20, "nyc3")))
	_, _, err = client.StorageActions.Resize(ctx, volume.ID, 10, "nyc3")
	refused(t, "shrink", err, 422)
	completed(t, client, must[*godo.Action](t, "detach")(client.StorageActions.DetachByDropletID(ctx, volume.ID, web)))
	if _, err := client.Storage.DeleteVolume(ctx, volume.ID); err != nil {
		t.Fatal(err)
	}
}

func TestAReservedAddressIsAssignedAndReleased(t *testing.T) {
	client := official(t)
	address := must[*godo.ReservedIP](t, "reserve")(client.ReservedIPs.Create(ctx, &godo.ReservedIPCreateRequest{Region: "nyc3"}))
	completed(t, client, must[*godo.Action](t, "assign")(client.ReservedIPActions.Assign(ctx, address.IP, 3164444)))
	address = must[*godo.ReservedIP](t, "get")(client.ReservedIPs.Get(ctx, address.IP))
	if address.Droplet == nil || address.Droplet.ID != 3164444 {
		t.Fatalf("assigned: %+v", address)
	}
	completed(t, client, must[*godo.Action](t, "unassign")(client.ReservedIPActions.Unassign(ctx, address.IP)))
	if _, err := client.ReservedIPs.Delete(ctx, address.IP); err != nil {
		t.Fatal(err)
	}
}

func TestOtherKindsAreWhatTheClientExpects(t *testing.T) {
	client := official(t)
	records := must[[]godo.DomainRecord](t, "records")(client.Domains.Records(ctx, "example.com", nil))
	if len(records) != 7 {
		t.Fatalf("records: %+v", records)
	}
	record := must[*godo.DomainRecord](t, "create")(client.Domains.CreateRecord(ctx, "example.com", &godo.DomainRecordEditRequest{
		Type: "A", Name: "api", Data: "203.0.113.11", TTL: 300,
	}))
	record = must[*godo.DomainRecord](t, "edit")(client.Domains.EditRecord(ctx, "example.com", record.ID, &godo.DomainRecordEditRequest{
		Type: "A", Name: "api", Data: "203.0.113.12", TTL: 300,
	}))
	if record.Data != "203.0.113.12" {
		t.Fatalf("record: %+v", record)
	}
	// The official client sends a PUT; PATCH changes the sent fields alone.
	path := "v2/domains/example.com/records/" + strconv.Itoa(record.ID)
	request := made[*http.Request](t, "request")(client.NewRequest(ctx, http.MethodPatch, path, map[string]any{"type": "A", "ttl": 600}))
	var patched struct {
		Record *godo.DomainRecord `json:"domain_record"`
	}
	if _, err := client.Do(ctx, request, &patched); err != nil || patched.Record.TTL != 600 || patched.Record.Data != "203.0.113.12" {
		t.Fatalf("patched: %+v %v", patched.Record, err)
	}
	if _, err := client.Domains.DeleteRecord(ctx, "example.com", record.ID); err != nil {
		t.Fatal(err)
	}
	if balancers := must[[]godo.LoadBalancer](t, "load balancers")(client.LoadBalancers.List(ctx, nil)); len(balancers) != 1 || balancers[0].Region.Slug != "nyc3" {
		t.Fatalf("load balancers: %+v", balancers)
	}
	if databases := must[[]godo.Database](t, "databases")(client.Databases.List(ctx, nil)); len(databases) != 1 || databases[0].NumNodes != 2 {
		t.Fatalf("databases: %+v", databases)
	}
	if firewalls := must[[]godo.Firewall](t, "firewalls")(client.Firewalls.List(ctx, nil)); len(firewalls) != 1 || len(firewalls[0].InboundRules) != 2 {
		t.Fatalf("firewalls: %+v", firewalls)
	}
	if vpcs := must[[]*godo.VPC](t, "vpcs")(client.VPCs.List(ctx, nil)); len(vpcs) != 1 || !vpcs[0].Default {
		t.Fatalf("vpcs: %+v", vpcs)
	}
	if gpus := must[[]godo.Droplet](t, "gpus")(client.Droplets.ListWithGPUs(ctx, nil)); len(gpus) != 1 || gpus[0].Name != "train-1" {
		t.Fatalf("gpus: %+v", gpus)
	}
	if account := must[*godo.Account](t, "account")(client.Account.Get(ctx)); account.Status != "active" {
		t.Fatalf("account: %+v", account)
	}
	if sizes := must[[]godo.Size](t, "sizes")(client.Sizes.List(ctx, &godo.ListOptions{PerPage: 200})); len(sizes) < 20 {
		t.Fatalf("sizes: %d", len(sizes))
	}
}

func TestErrorsAreTheClientsOwn(t *testing.T) {
	_, _, err := client(t, "another").Droplets.List(ctx, nil)
	if refused(t, "another token", err, 401).RequestID == "" {
		t.Fatal("no request id")
	}
	official := official(t)
	_, _, err = official.Droplets.Create(ctx, &godo.DropletCreateRequest{Name: "not a host name", Region: "nyc3", Size: "s-1vcpu-1gb"})
	refused(t, "name", err, 422)
	_, _, err = official.Droplets.Get(ctx, 1)
	refused(t, "missing", err, 404)
	inject(t, map[string]any{"path": "/v2/account", "times": 1, "effect": map[string]any{"status": map[string]any{"status": 503, "html": true}}})
	_, _, err = official.Account.Get(ctx)
	refused(t, "html", err, 503)

	// The client's own retries, as provided for 429 and 5xx.
	inject(t, map[string]any{"path": "/v2/account", "times": 2, "effect": map[string]any{"status": map[string]any{"status": 429, "retry_after": 0}}})
	wait := 0.01
	retrying := client(t, os.Getenv("SIMULATOR_TOKEN"), godo.WithRetryAndBackoffs(godo.RetryConfig{RetryMax: 4, RetryWaitMin: &wait, RetryWaitMax: &wait}))
	if _, _, err = retrying.Account.Get(ctx); err != nil {
		t.Fatalf("retried: %v", err)
	}
}

func TestBackupPoliciesAreListedByDroplet(t *testing.T) {
	client := official(t)
	const web = 3164444
	hour := 8
	completed(t, client, must[*godo.Action](t, "enable")(client.DropletActions.EnableBackupsWithPolicy(ctx, web, &godo.DropletBackupPolicyRequest{
		Plan: "weekly", Weekday: "TUE", Hour: &hour,
	})))
	policies := map[int]*godo.DropletBackupPolicy{}
	for page := 1; page <= 3; page++ {
		for id, policy := range must[map[int]*godo.DropletBackupPolicy](t, "policies")(client.Droplets.ListBackupPolicies(ctx, &godo.ListOptions{Page: page, PerPage: 200})) {
			policies[id] = policy
		}
	}
	policy := policies[web]
	if len(policies) < fleet || policy == nil || policy.DropletID != web || !policy.BackupEnabled || policy.BackupPolicy.Weekday != "TUE" || policy.BackupPolicy.Hour != hour {
		t.Fatalf("%d policies, %+v", len(policies), policy)
	}
	if one := must[*godo.DropletBackupPolicy](t, "policy")(client.Droplets.GetBackupPolicy(ctx, web)); one.BackupPolicy.RetentionPeriodDays != 28 {
		t.Fatalf("one: %+v", one.BackupPolicy)
	}
	completed(t, client, must[*godo.Action](t, "disable")(client.DropletActions.DisableBackups(ctx, web)))
	if one := must[*godo.DropletBackupPolicy](t, "policy")(client.Droplets.GetBackupPolicy(ctx, web)); one.BackupEnabled || one.BackupPolicy != nil {
		t.Fatalf("disabled: %+v", one)
	}
}

func TestADatabasesRulesHaveAPathOfTheirOwn(t *testing.T) {
	client := official(t)
	const backend = "9cc10173-e9ea-4176-9dbc-a4cee4c4ff30"
	if _, err := client.Databases.UpdateFirewallRules(ctx, backend, &godo.DatabaseUpdateFirewallRulesRequest{
		Rules: []*godo.DatabaseFirewallRule{{Type: "ip_addr", Value: "192.0.2.1"}},
	}); err != nil {
		t.Fatal(err)
	}
	rules := must[[]godo.DatabaseFirewallRule](t, "rules")(client.Databases.GetFirewallRules(ctx, backend))
	if len(rules) != 1 || rules[0].Value != "192.0.2.1" || rules[0].UUID == "" || rules[0].ClusterUUID != backend {
		t.Fatalf("rules: %+v", rules)
	}
	if options := must[*godo.DatabaseOptions](t, "options")(client.Databases.ListOptions(ctx)); len(options.PostgresSQLOptions.Versions) == 0 {
		t.Fatalf("options: %+v", options)
	}
}

func TestCertificatesAndAppsAreWhatTheClientExpects(t *testing.T) {
	client := official(t)
	certificate := must[*godo.Certificate](t, "create")(client.Certificates.Create(ctx, &godo.CertificateRequest{
		Name: "www", Type: "lets_encrypt", DNSNames: []string{"www.example.com"},
	}))
	named := must[[]godo.Certificate](t, "by name")(client.Certificates.ListByName(ctx, "www", nil))
	if len(named) != 1 || named[0].ID != certificate.ID {
		t.Fatalf("certificates: %+v", named)
	}
	if _, err := client.Certificates.Delete(ctx, certificate.ID); err != nil {
		t.Fatal(err)
	}

	spec := &godo.AppSpec{Name: "shop", Services: []*godo.AppServiceSpec{{
		Name: "web", InstanceCount: 1,
		Envs: []*godo.AppVariableDefinition{{Key: "TOKEN", Value: "hunter2", Type: godo.AppVariableType_Secret}},
	}}}
	app := must[*godo.App](t, "create")(client.Apps.Create(ctx, &godo.AppCreateRequest{Spec: spec}))
	if sealed := app.Spec.Services[0].Envs[0].Value; len(sealed) < 10 || sealed[:5] != "EV[1:" {
		t.Fatalf("secret: %s", sealed)
	}
	app.Spec.Services[0].InstanceCount = 2
	app = must[*godo.App](t, "update")(client.Apps.Update(ctx, app.ID, &godo.AppUpdateRequest{Spec: app.Spec}))
	for range 200 {
		deployment := must[*godo.Deployment](t, "deployment")(client.Apps.GetDeployment(ctx, app.ID, app.PendingDeployment.ID))
		if deployment.Phase == godo.DeploymentPhase_Active {
			if deployment.Spec.Services[0].InstanceCount != 2 {
				t.Fatalf("deployment: %+v", deployment.Spec)
			}
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the deployment is not active")
}
