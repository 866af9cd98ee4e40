// Each update of a resource, as the official client sends it.
package main

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/digitalocean/godo"
)

const (
	vpc      = "760e09ef-dc84-11e8-981e-3cfdfeaae000"
	balancer = "4de7ac8b-495b-4884-9a69-1050c6793cd6"
	firewall = "fb6045f1-cf1d-4ca3-bfac-18832663025b"
	database = "9cc10173-e9ea-4176-9dbc-a4cee4c4ff30"
)

func done(t *testing.T, what string, _ *godo.Response, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func made[T any](t *testing.T, what string) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return value
	}
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 200 {
		if holds() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s: not within 4 s", what)
}

func TestALoadBalancerIsChangedAsAWhole(t *testing.T) {
	client := official(t)
	get := func() *godo.LoadBalancer {
		t.Helper()
		return must[*godo.LoadBalancer](t, "get")(client.LoadBalancers.Get(ctx, balancer))
	}
	before := get()
	change := func(what string, edit func(*godo.LoadBalancerRequest)) *godo.LoadBalancer {
		t.Helper()
		request := get().AsRequest()
		request.SizeSlug = ""
		edit(request)
		must[*godo.LoadBalancer](t, what)(client.LoadBalancers.Update(ctx, balancer, request))
		_, _, err := client.LoadBalancers.Update(ctx, balancer, request)
		refused(t, "busy", err, 403)
		until(t, what, func() bool { return get().Status == "active" })
		return get()
	}
	if it := change("rename", func(it *godo.LoadBalancerRequest) { it.Name = "web-2"; it.SizeUnit = 3 }); it.Name != "web-2" || it.SizeUnit != 3 || len(it.DropletIDs) != 2 {
		t.Fatalf("changed: %+v", it)
	}
	after := change("rename back", func(it *godo.LoadBalancerRequest) { it.Name = before.Name; it.SizeUnit = before.SizeUnit })
	if fmt.Sprint(after) != fmt.Sprint(before) {
		t.Fatalf("not as before: %v, %v", after, before)
	}
	settled := func(what string, _ *godo.Response, err error) {
		t.Helper()
		done(t, what, nil, err)
		until(t, what, func() bool { return get().Status == "active" })
	}
	response, err := client.LoadBalancers.AddDroplets(ctx, balancer, 3164446)
	settled("add a droplet", response, err)
	response, err = client.LoadBalancers.RemoveDroplets(ctx, balancer, 3164446)
	settled("remove a droplet", response, err)
	rule := godo.ForwardingRule{EntryProtocol: "tcp", EntryPort: 3306, TargetProtocol: "tcp", TargetPort: 3306}
	response, err = client.LoadBalancers.AddForwardingRules(ctx, balancer, rule)
	settled("add a rule", response, err)
	response, err = client.LoadBalancers.RemoveForwardingRules(ctx, balancer, rule)
	settled("remove a rule", response, err)
	if after := get(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Fatalf("not as before: %v, %v", after, before)
	}
}

func TestAFirewallIsChangedAsAWholeAndMemberByMember(t *testing.T) {
	client := official(t)
	get := func() *godo.Firewall {
		t.Helper()
		var it *godo.Firewall
		until(t, "succeeded", func() bool {
			it = must[*godo.Firewall](t, "get")(client.Firewalls.Get(ctx, firewall))
			return it.Status == "succeeded" && len(it.PendingChanges) == 0
		})
		return it
	}
	before := get()
	request := &godo.FirewallRequest{
		Name: before.Name, InboundRules: before.InboundRules, OutboundRules: before.OutboundRules, DropletIDs: before.DropletIDs, Tags: before.Tags,
	}
	_, _, err := client.Firewalls.Update(ctx, firewall, request)
	refused(t, "ports as they are read", err, 422)
	request.OutboundRules = slices.Clone(before.OutboundRules)
	request.OutboundRules[0].PortRange = "all"
	must[*godo.Firewall](t, "put")(client.Firewalls.Update(ctx, firewall, request))
	response, err := client.Firewalls.AddDroplets(ctx, firewall, 3164446)
	done(t, "add a droplet", response, err)
	response, err = client.Firewalls.RemoveDroplets(ctx, firewall, 3164446)
	done(t, "remove a droplet", response, err)
	response, err = client.Firewalls.AddTags(ctx, firewall, "prod")
	done(t, "add a tag", response, err)
	response, err = client.Firewalls.RemoveTags(ctx, firewall, "prod")
	done(t, "remove a tag", response, err)
	rules := &godo.FirewallRulesRequest{InboundRules: []godo.InboundRule{{Protocol: "tcp", PortRange: "443", Sources: &godo.Sources{Addresses: []string{"::/0"}}}}}
	response, err = client.Firewalls.AddRules(ctx, firewall, rules)
	done(t, "add a rule", response, err)
	response, err = client.Firewalls.RemoveRules(ctx, firewall, rules)
	done(t, "remove a rule", response, err)
	if after := get(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Fatalf("not as before: %v, %v", after, before)
	}
}

func TestADatabaseIsChangedByItsPaths(t *testing.T) {
	client := official(t)
	get := func() *godo.Database {
		t.Helper()
		return must[*godo.Database](t, "get")(client.Databases.Get(ctx, database))
	}
	before := get()
	response, err := client.Databases.Resize(ctx, database, &godo.DatabaseResizeRequest{SizeSlug: before.SizeSlug, NumNodes: 3})
	done(t, "resize", response, err)
	_, err = client.Databases.Resize(ctx, database, &godo.DatabaseResizeRequest{SizeSlug: before.SizeSlug, NumNodes: 2})
	refused(t, "busy", err, 412)
	until(t, "resized", func() bool { return get().NumNodes == 3 && get().Status == "online" })
	response, err = client.Databases.Migrate(ctx, database, &godo.DatabaseMigrateRequest{Region: "sfo3"})
	done(t, "migrate", response, err)
	until(t, "migrated", func() bool { return get().RegionSlug == "sfo3" && get().Status == "online" })
	response, err = client.Databases.UpgradeMajorVersion(ctx, database, &godo.UpgradeVersionRequest{Version: "18"})
	done(t, "upgrade", response, err)
	until(t, "upgraded", func() bool { return get().VersionSlug == "18" && get().Status == "online" })
	response, err = client.Databases.UpdateDOSettings(ctx, database, &godo.DatabaseUpdateDOSettingsRequest{
		DOSettings: &godo.DOSettings{ServiceCnames: []string{"db.example.com"}},
	})
	done(t, "settings", response, err)
	response, err = client.Databases.UpdateMaintenance(ctx, database, &godo.DatabaseUpdateMaintenanceRequest{Day: "monday", Hour: "13:00"})
	done(t, "maintenance", response, err)
	if it := get(); it.MaintenanceWindow.Day != "monday" || it.MaintenanceWindow.Hour != "13:00:00" {
		t.Fatalf("maintenance: %+v", it.MaintenanceWindow)
	}
	must[*godo.DatabaseDB](t, "add a db")(client.Databases.CreateDB(ctx, database, &godo.DatabaseCreateDBRequest{Name: "shop"}))
	if dbs := must[[]godo.DatabaseDB](t, "dbs")(client.Databases.ListDBs(ctx, database, nil)); len(dbs) != 2 {
		t.Fatalf("dbs: %+v", dbs)
	}
	response, err = client.Databases.DeleteDB(ctx, database, "shop")
	done(t, "remove a db", response, err)
	cache := must[*godo.Database](t, "cache")(client.Databases.Create(ctx, &godo.DatabaseCreateRequest{
		Name: "cache", EngineSlug: "valkey", Region: "nyc3", SizeSlug: "db-s-1vcpu-1gb", NumNodes: 1,
	}))
	response, err = client.Databases.SetEvictionPolicy(ctx, cache.ID, "allkeys_lru")
	done(t, "eviction policy", response, err)
	if policy := must[string](t, "eviction policy")(client.Databases.GetEvictionPolicy(ctx, cache.ID)); policy != "allkeys_lru" {
		t.Fatalf("eviction policy: %s", policy)
	}
}

func TestAClusterIsUpdatedUpgradedAndGivenNodesAndRegistries(t *testing.T) {
	client := official(t)
	cluster := must[*godo.KubernetesCluster](t, "create")(client.Kubernetes.Create(ctx, &godo.KubernetesClusterCreateRequest{
		Name: "c", RegionSlug: "nyc3", VersionSlug: "1.33.6-do.0", Tags: []string{"mine"}, SurgeUpgrade: true,
		NodePools: []*godo.KubernetesNodePoolCreateRequest{{Name: "p", Size: "s-2vcpu-4gb", Count: 1}},
	}))
	get := func() *godo.KubernetesCluster {
		t.Helper()
		return must[*godo.KubernetesCluster](t, "get")(client.Kubernetes.Get(ctx, cluster.ID))
	}
	running := func() bool { return get().Status.State == godo.KubernetesClusterStatusRunning }
	until(t, "created", running)
	yes := true
	must[*godo.KubernetesCluster](t, "update")(client.Kubernetes.Update(ctx, cluster.ID, &godo.KubernetesClusterUpdateRequest{
		Name: "c-2", Tags: []string{"mine"}, AutoUpgrade: &yes, SurgeUpgrade: true,
		MaintenancePolicy: &godo.KubernetesMaintenancePolicy{StartTime: "15:00", Day: godo.KubernetesMaintenanceDayMonday},
	}))
	until(t, "updated", running)
	if it := get(); it.Name != "c-2" || !it.AutoUpgrade || it.MaintenancePolicy.Day != godo.KubernetesMaintenanceDayMonday || it.MaintenancePolicy.Duration == "" {
		t.Fatalf("updated: %+v", it)
	}
	upgrades := must[[]*godo.KubernetesVersion](t, "upgrades")(client.Kubernetes.GetUpgrades(ctx, cluster.ID))
	response, err := client.Kubernetes.Upgrade(ctx, cluster.ID, &godo.KubernetesClusterUpgradeRequest{VersionSlug: upgrades[0].Slug})
	done(t, "upgrade", response, err)
	if state := get().Status.State; state != godo.KubernetesClusterStatusUpgrading {
		t.Fatalf("upgrading: %s", state)
	}
	until(t, "upgraded", func() bool { return running() && get().VersionSlug == upgrades[0].Slug })

	pool := get().NodePools[0].ID
	count := 3
	must[*godo.KubernetesNodePool](t, "grow")(client.Kubernetes.UpdateNodePool(ctx, cluster.ID, pool, &godo.KubernetesNodePoolUpdateRequest{Name: "p", Count: &count}))
	until(t, "grown", func() bool {
		nodes := must[*godo.KubernetesNodePool](t, "pool")(client.Kubernetes.GetNodePool(ctx, cluster.ID, pool)).Nodes
		isRunning := func(node *godo.KubernetesNode) bool { return node.Status.State == "running" }
		return len(nodes) == 3 && !slices.ContainsFunc(nodes, func(it *godo.KubernetesNode) bool { return !isRunning(it) })
	})

	must[*godo.Registry](t, "registry")(client.Registries.Create(ctx, &godo.RegistryCreateRequest{Name: "images", SubscriptionTierSlug: "basic", Region: "nyc3"}))
	if registry := must[*godo.Registry](t, "the only registry")(client.Registry.Get(ctx)); registry.Name != "images" {
		t.Fatalf("registry: %+v", registry)
	}
	request := &godo.KubernetesClusterRegistryRequest{ClusterUUIDs: []string{cluster.ID}}
	response, err = client.Kubernetes.AddRegistry(ctx, request)
	done(t, "add the registry", response, err)
	if !get().RegistryEnabled {
		t.Fatal("the registry is not enabled")
	}
	response, err = client.Kubernetes.RemoveRegistry(ctx, request)
	done(t, "remove the registry", response, err)
	// The official client has no method for the paths of several registries.
	for _, change := range []struct {
		method string
		has    bool
	}{{"POST", true}, {"DELETE", false}} {
		body := map[string][]string{"cluster_uuids": {cluster.ID}, "registries": {"images"}}
		request := made[*http.Request](t, "request")(client.NewRequest(ctx, change.method, "v2/kubernetes/registries", body))
		response, err := client.Do(ctx, request, nil)
		done(t, change.method+" registries", response, err)
		if has := get().RegistryEnabled; has != change.has {
			t.Fatalf("%s: the cluster has a registry: %v", change.method, has)
		}
	}
	subscription := must[*godo.RegistrySubscription](t, "subscribe")(client.Registries.UpdateSubscription(ctx, &godo.RegistrySubscriptionUpdateRequest{TierSlug: "professional"}))
	if subscription.Tier.Slug != "professional" {
		t.Fatalf("subscription: %+v", subscription)
	}
	if options := must[*godo.RegistryOptions](t, "options")(client.Registry.GetOptions(ctx)); len(options.SubscriptionTiers) != 3 {
		t.Fatalf("options: %+v", options)
	}
}

func TestADropletIsShutDownRenamedGivenIPv6AndPoweredOn(t *testing.T) {
	const web = 3164444
	client := official(t)
	get := func() *godo.Droplet {
		t.Helper()
		return must[*godo.Droplet](t, "get")(client.Droplets.Get(ctx, web))
	}
	name := get().Name
	completed(t, client, must[*godo.Action](t, "shut down")(client.DropletActions.Shutdown(ctx, web)))
	if status := get().Status; status != "off" {
		t.Fatalf("shut down: %s", status)
	}
	completed(t, client, must[*godo.Action](t, "rename")(client.DropletActions.Rename(ctx, web, "renamed")))
	completed(t, client, must[*godo.Action](t, "enable IPv6")(client.DropletActions.EnableIPv6(ctx, web)))
	completed(t, client, must[*godo.Action](t, "power on")(client.DropletActions.PowerOn(ctx, web)))
	if it := get(); it.Name != "renamed" || it.Status != "active" || !slices.Contains(it.Features, "ipv6") {
		t.Fatalf("changed: %+v", it)
	}
	completed(t, client, must[*godo.Action](t, "rename back")(client.DropletActions.Rename(ctx, web, name)))
}

func TestResourcesMoveBetweenProjects(t *testing.T) {
	client := official(t)
	made := must[*godo.Project](t, "create")(client.Projects.Create(ctx, &godo.CreateProjectRequest{Name: "shop", Purpose: "IoT", Environment: "Staging"}))
	changed := must[*godo.Project](t, "patch")(client.Projects.Update(ctx, made.ID, &godo.UpdateProjectRequest{Description: "ours", IsDefault: true}))
	if changed.Name != "shop" || changed.Description != "ours" || !changed.IsDefault {
		t.Fatalf("changed: %+v", changed)
	}
	if it := must[*godo.Project](t, "default")(client.Projects.GetDefault(ctx)); it.ID != made.ID {
		t.Fatalf("default: %+v", it)
	}
	moved := must[[]godo.ProjectResource](t, "move")(client.Projects.AssignResources(ctx, made.ID, &godo.LoadBalancer{ID: balancer}, "do:droplet:3164445", "do:droplet:1"))
	if moved[0].Status != "assigned" || moved[1].Status != "assigned" || moved[2].Status != "not_found" {
		t.Fatalf("moved: %+v", moved)
	}
	if it := must[*godo.LoadBalancer](t, "get")(client.LoadBalancers.Get(ctx, balancer)); it.ProjectID != made.ID {
		t.Fatalf("project: %s", it.ProjectID)
	}
}

func TestSmallKindsAreUpdated(t *testing.T) {
	client := official(t)
	on, off := true, false
	key := must[*godo.Key](t, "key")(client.Keys.Create(ctx, &godo.KeyCreateRequest{Name: "k", PublicKey: "ssh-ed25519 AAAA sammy"}))
	if key = must[*godo.Key](t, "key")(client.Keys.UpdateByID(ctx, key.ID, &godo.KeyUpdateRequest{Name: "k-2"})); key.Name != "k-2" {
		t.Fatalf("key: %+v", key)
	}

	network := must[*godo.VPC](t, "vpc")(client.VPCs.Create(ctx, &godo.VPCCreateRequest{Name: "second", RegionSlug: "nyc3"}))
	network = must[*godo.VPC](t, "set")(client.VPCs.Set(ctx, network.ID, godo.VPCSetDescription("ours")))
	network = must[*godo.VPC](t, "set")(client.VPCs.Set(ctx, network.ID, godo.VPCSetName("third")))
	if network.Name != "third" || network.Description != "ours" {
		t.Fatalf("vpc: %+v", network)
	}
	_, _, err := client.VPCs.Update(ctx, vpc, &godo.VPCUpdateRequest{Name: "default-nyc3"})
	refused(t, "a default VPC is put without its flag", err, 403)
	must[*godo.VPC](t, "put")(client.VPCs.Update(ctx, vpc, &godo.VPCUpdateRequest{Name: "default-nyc3", Default: &on}))
	must[*godo.VPC](t, "put")(client.VPCs.Update(ctx, network.ID, &godo.VPCUpdateRequest{Name: "fourth", Default: &off}))

	peering := must[*godo.VPCPeering](t, "peer")(client.VPCs.CreateVPCPeering(ctx, &godo.VPCPeeringCreateRequest{Name: "peer", VPCIDs: []string{vpc, network.ID}}))
	until(t, "peered", func() bool {
		return must[*godo.VPCPeering](t, "get")(client.VPCs.GetVPCPeering(ctx, peering.ID)).Status == "ACTIVE"
	})
	if it := must[*godo.VPCPeering](t, "patch")(client.VPCs.UpdateVPCPeering(ctx, peering.ID, &godo.VPCPeeringUpdateRequest{Name: "peer-2"})); it.Name != "peer-2" {
		t.Fatalf("peering: %+v", it)
	}
	response, err := client.VPCs.DeleteVPCPeering(ctx, peering.ID)
	done(t, "delete the peering", response, err)

	gateway := must[*godo.VPCNATGateway](t, "gateway")(client.VPCNATGateways.Create(ctx, &godo.VPCNATGatewayRequest{
		Name: "nat", Type: "PUBLIC", Region: "nyc3", Size: 1, VPCs: []*godo.IngressVPC{{VpcUUID: network.ID, DefaultGateway: true}},
	}))
	active := func() bool {
		return must[*godo.VPCNATGateway](t, "get")(client.VPCNATGateways.Get(ctx, gateway.ID)).State == "ACTIVE"
	}
	until(t, "gateway", active)
	must[*godo.VPCNATGateway](t, "put")(client.VPCNATGateways.Update(ctx, gateway.ID, &godo.VPCNATGatewayRequest{Name: "nat-2", Size: 2, TCPTimeoutSeconds: 60}))
	until(t, "gateway", active)
	it := must[*godo.VPCNATGateway](t, "get")(client.VPCNATGateways.Get(ctx, gateway.ID))
	if it.Name != "nat-2" || it.Size != 2 || it.TCPTimeoutSeconds != 60 || it.UDPTimeoutSeconds != 30 || !it.VPCs[0].DefaultGateway {
		t.Fatalf("gateway: %+v", it)
	}

	check := must[*godo.UptimeCheck](t, "check")(client.UptimeChecks.Create(ctx, &godo.CreateUptimeCheckRequest{
		Name: "u", Type: "https", Target: "https://www.example.com", Regions: []string{"us_east"}, Enabled: true,
	}))
	check = must[*godo.UptimeCheck](t, "put")(client.UptimeChecks.Update(ctx, check.ID, &godo.UpdateUptimeCheckRequest{
		Name: "u", Type: "https", Target: "https://www.example.com", Regions: []string{"us_east"},
	}))
	if check.Enabled {
		t.Fatalf("check: %+v", check)
	}

	policy := must[*godo.AlertPolicy](t, "policy")(client.Monitoring.CreateAlertPolicy(ctx, &godo.AlertPolicyCreateRequest{
		Type: godo.DropletCPUUtilizationPercent, Description: "d", Compare: godo.GreaterThan, Value: 80, Window: "5m", Entities: []string{}, Tags: []string{},
		Alerts: godo.Alerts{Slack: []godo.SlackDetails{}, Email: []string{"sammy@example.com"}}, Enabled: &on,
	}))
	policy = must[*godo.AlertPolicy](t, "put")(client.Monitoring.UpdateAlertPolicy(ctx, policy.UUID, &godo.AlertPolicyUpdateRequest{
		Type: policy.Type, Description: policy.Description, Compare: policy.Compare, Value: 90, Window: policy.Window, Entities: policy.Entities,
		Tags: policy.Tags, Alerts: policy.Alerts, Enabled: &off,
	}))
	if policy.Value != 90 || policy.Enabled {
		t.Fatalf("policy: %+v", policy)
	}

	endpoint := must[*godo.CDN](t, "endpoint")(client.CDNs.Create(ctx, &godo.CDNCreateRequest{Origin: "static.nyc3.digitaloceanspaces.com", TTL: 600}))
	if endpoint = must[*godo.CDN](t, "ttl")(client.CDNs.UpdateTTL(ctx, endpoint.ID, &godo.CDNUpdateTTLRequest{TTL: 60})); endpoint.TTL != 60 {
		t.Fatalf("endpoint: %+v", endpoint)
	}
	endpoint = must[*godo.CDN](t, "domain")(client.CDNs.UpdateCustomDomain(ctx, endpoint.ID, &godo.CDNUpdateCustomDomainRequest{
		CustomDomain: "static.example.com", CertificateID: "needs-cloudflare-cert",
	}))
	if endpoint.CustomDomain != "static.example.com" || endpoint.TTL != 3600 {
		t.Fatalf("endpoint: %+v", endpoint)
	}
}

func TestASnapshotIsRenamedTransferredAndTagged(t *testing.T) {
	client := official(t)
	const web = 3164445
	completed(t, client, must[*godo.Action](t, "snapshot")(client.DropletActions.Snapshot(ctx, web, "before")))
	image := must[[]godo.Image](t, "snapshots")(client.Droplets.Snapshots(ctx, web, nil))[0].ID
	if it := must[*godo.Image](t, "rename")(client.Images.Update(ctx, image, &godo.ImageUpdateRequest{Name: "after"})); it.Name != "after" {
		t.Fatalf("image: %+v", it)
	}
	completed(t, client, must[*godo.Action](t, "transfer")(client.ImageActions.Transfer(ctx, image, &godo.ActionRequest{"type": "transfer", "region": "ams3"})))
	must[*godo.Tag](t, "tag")(client.Tags.Create(ctx, &godo.TagCreateRequest{Name: "kept"}))
	resources := []godo.Resource{{ID: strconv.Itoa(image), Type: godo.ImageResourceType}}
	response, err := client.Tags.TagResources(ctx, "kept", &godo.TagResourcesRequest{Resources: resources})
	done(t, "tag", response, err)
	snapshot := must[*godo.Snapshot](t, "get")(client.Snapshots.Get(ctx, strconv.Itoa(image)))
	if snapshot.Name != "after" || fmt.Sprint(snapshot.Regions, snapshot.Tags) != "[nyc3 ams3] [kept]" {
		t.Fatalf("snapshot: %+v", snapshot)
	}
	response, err = client.Snapshots.Delete(ctx, snapshot.ID)
	done(t, "delete", response, err)
}
