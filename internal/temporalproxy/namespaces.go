package temporalproxy

import (
	"maps"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// namespaceGuard finds namespaces in a request without decoding the rest of it, such as payloads.
type namespaceGuard struct {
	root    *namespacePlan
	allowed string
}

// namespacePlan tells where in messages of a type namespaces are. Types that contain themselves are no trouble: plans are shared.
type namespacePlan struct {
	names    map[protowire.Number]bool           // string fields that name a namespace
	messages map[protowire.Number]*namespacePlan // fields whose messages may name one
}

func newNamespaceGuard(request protoreflect.MessageDescriptor, allowed string) namespaceGuard {
	plans := map[protoreflect.FullName]*namespacePlan{}
	root := planFor(request, plans)
	prune(plans)
	return namespaceGuard{root, allowed}
}

func planFor(message protoreflect.MessageDescriptor, plans map[protoreflect.FullName]*namespacePlan) *namespacePlan {
	if plan, ok := plans[message.FullName()]; ok {
		return plan
	}
	plan := &namespacePlan{map[protowire.Number]bool{}, map[protowire.Number]*namespacePlan{}}
	plans[message.FullName()] = plan
	for i := range message.Fields().Len() {
		switch field := message.Fields().Get(i); {
		case field.Kind() == protoreflect.StringKind && field.Name() == "namespace":
			plan.names[field.Number()] = true
		case field.Kind() == protoreflect.MessageKind:
			plan.messages[field.Number()] = planFor(field.Message(), plans)
		}
	}
	return plan
}

// prune drops fields whose messages name nothing, however deep.
func prune(plans map[protoreflect.FullName]*namespacePlan) {
	naming := map[*namespacePlan]bool{}
	for more := true; more; {
		more = false
		for _, plan := range plans {
			if !naming[plan] && plan.mayName(naming) {
				naming[plan], more = true, true
			}
		}
	}
	for _, plan := range plans {
		maps.DeleteFunc(plan.messages, func(_ protowire.Number, child *namespacePlan) bool { return !naming[child] })
	}
}

// mayName tells whether a message names a namespace, or has a field whose messages are known to.
func (p *namespacePlan) mayName(known map[*namespacePlan]bool) bool {
	if len(p.names) > 0 {
		return true
	}
	for _, child := range p.messages {
		if known[child] {
			return true
		}
	}
	return false
}

// check lets a request pass as it is, unless it names another namespace.
func (g namespaceGuard) check(c caller, request []byte) ([]byte, error) {
	if err := g.walk(c, g.root, request, protowire.DefaultRecursionLimit); err != nil {
		return nil, err
	}
	return request, nil
}

// walk goes as deep as protobuf does.
func (g namespaceGuard) walk(c caller, plan *namespacePlan, message []byte, depth int) error {
	if depth == 0 {
		return malformed()
	}
	for len(message) > 0 {
		number, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return malformed()
		}
		whole := protowire.ConsumeFieldValue(number, kind, message[tag:])
		if whole < 0 {
			return malformed()
		}
		value := message[tag : tag+whole]
		message = message[tag+whole:]
		if kind != protowire.BytesType {
			continue
		}
		content, _ := protowire.ConsumeBytes(value)
		if plan.names[number] && len(content) > 0 && string(content) != g.allowed {
			return c.mayNot("name the namespace %.100q, only %q", content, g.allowed)
		}
		if child := plan.messages[number]; child != nil {
			if err := g.walk(c, child, content, depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}

func malformed() error {
	return &refusal{codes.InvalidArgument, "temporalproxy: the request is not the message that this call takes"}
}
